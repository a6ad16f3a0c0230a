#include <iostream>

#include <dms/llm.h>

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  dms::LLM llm(argv[1]);
  dms::Session session = llm.new_session();
  const dms::Generation result = session.generate(llm.encode(argv[2]), {.max_new_tokens = 8});
  std::cout << argv[2] << result.text << "\n";
  return result.ids.empty() ? 1 : 0;
}
