set(DMS_ATTENTION_TEST_SOURCES attention_test.cpp kv_page_test.cpp)
