# Sources of the attention kernels, by the flags they are compiled with.
set(DMS_ATTENTION_COMMON_SOURCES attention.cpp kv_page.cpp)
set(DMS_ATTENTION_GENERIC_SOURCES cpu/generic/attention.cpp)
set(DMS_ATTENTION_AVX2_SOURCES cpu/avx2/attention.cpp)
set(DMS_ATTENTION_AVX512_SOURCES cpu/avx512/attention.cpp)
