#include "gguf/tensor_type.h"

#include <algorithm>
#include <array>

namespace dms::gguf {
namespace {

// All that the format has: those we cannot read are an error only where they are needed.
constexpr std::array kLayouts{
    TypeLayout{0, "F32", 1, 4},         TypeLayout{1, "F16", 1, 2},
    TypeLayout{2, "Q4_0", 32, 18},      TypeLayout{3, "Q4_1", 32, 20},
    TypeLayout{6, "Q5_0", 32, 22},      TypeLayout{7, "Q5_1", 32, 24},
    TypeLayout{8, "Q8_0", 32, 34},      TypeLayout{9, "Q8_1", 32, 40},
    TypeLayout{10, "Q2_K", 256, 84},    TypeLayout{11, "Q3_K", 256, 110},
    TypeLayout{12, "Q4_K", 256, 144},   TypeLayout{13, "Q5_K", 256, 176},
    TypeLayout{14, "Q6_K", 256, 210},   TypeLayout{15, "Q8_K", 256, 292},
    TypeLayout{16, "IQ2_XXS", 256, 66}, TypeLayout{17, "IQ2_XS", 256, 74},
    TypeLayout{18, "IQ3_XXS", 256, 98}, TypeLayout{19, "IQ1_S", 256, 50},
    TypeLayout{20, "IQ4_NL", 32, 18},   TypeLayout{21, "IQ3_S", 256, 110},
    TypeLayout{22, "IQ2_S", 256, 82},   TypeLayout{23, "IQ4_XS", 256, 136},
    TypeLayout{24, "I8", 1, 1},         TypeLayout{25, "I16", 1, 2},
    TypeLayout{26, "I32", 1, 4},        TypeLayout{27, "I64", 1, 8},
    TypeLayout{28, "F64", 1, 8},        TypeLayout{29, "IQ1_M", 256, 56},
    TypeLayout{30, "BF16", 1, 2},       TypeLayout{34, "TQ1_0", 256, 54},
    TypeLayout{35, "TQ2_0", 256, 66},   TypeLayout{39, "MXFP4", 32, 17},
    TypeLayout{40, "NVFP4", 64, 36},    TypeLayout{41, "Q1_0", 128, 18},
};

constexpr std::array kReadable{TensorType::f32,
                               TensorType::f16,
                               TensorType::bf16,
                               TensorType::q8_0,
                               TensorType::q4_0,
                               TensorType::q4_1,
                               TensorType::q4_k,
                               TensorType::q5_k,
                               TensorType::q6_k};

}  // namespace

const TypeLayout* find_layout(uint32_t id) {
  const auto* it = std::ranges::find(kLayouts, id, &TypeLayout::id);
  return it == kLayouts.end() ? nullptr : it;
}

const TypeLayout& layout_of(TensorType type) { return *find_layout(static_cast<uint32_t>(type)); }

bool is_readable(const TypeLayout& layout) {
  return std::ranges::find(kReadable, static_cast<TensorType>(layout.id)) != kReadable.end();
}

std::string readable_types() {
  std::string text;
  for (const TensorType type : kReadable) {
    const char* between = text.empty() ? "" : type == kReadable.back() ? " or " : ", ";
    text += between + std::string(layout_of(type).name);
  }
  return text;
}

}  // namespace dms::gguf
