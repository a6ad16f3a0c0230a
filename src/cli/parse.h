#pragma once
// The text of an option to its value. Every function throws InputError with `option` as the place.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace dms::cli {

int64_t parse_integer(const std::string& option, std::string_view text, int64_t min, int64_t max);
/// Any number that a 64-bit seed can be.
uint64_t parse_seed(const std::string& option, std::string_view text);
/// A finite number in [min, max].
double parse_number(const std::string& option, std::string_view text, double min, double max);

/// A finite number above 0.
double parse_positive_number(const std::string& option, std::string_view text);

/// "512MiB", "2GB", "1.5g", "1048576": KB, MB, … are powers of 1000; K, KiB, … of 1024. Any case;
/// one byte or more.
int64_t parse_bytes(const std::string& option, std::string_view text);

/// "a,b,c" to its parts, none of them empty.
std::vector<std::string> parse_list(const std::string& option, std::string_view text);
std::vector<int64_t> parse_integer_list(const std::string& option,
                                        std::string_view text,
                                        int64_t min,
                                        int64_t max);
/// ASCII characters that are seen, as a key in a header must be; the empty text is one too.
bool is_ascii_word(std::string_view text);
/// "k=v,k2=v2"; a key may stand there once only.
std::map<std::string, std::string> parse_key_values(const std::string& option,
                                                    std::string_view text);

/// A command to its words, which blanks divide; what stands in '…' or "…" has blanks as they are,
/// and no other character means anything. At least one word.
std::vector<std::string> parse_command(const std::string& option, std::string_view text);

}  // namespace dms::cli
