# cmake -DHTML=F -DSTYLES=F;... -DSCRIPTS=F;... -DOUT=F.cpp -P assemble.cmake
# Writes the page as a C++ file (serve/page.h). The scripts are ES modules, each of which a browser or
# an editor can read by itself; here they become one: what they import from one another is in the same
# scope, so imports go and exports are plain declarations. A name declared twice is an error of syntax.
# Comments that have lines of their own stay behind: a reader's browser has no use for them.
cmake_policy(VERSION 3.25)

function(concatenate files out)
  set(all "\n")
  foreach(file IN LISTS files)
    file(READ "${file}" text)
    string(REGEX REPLACE "(^|\n)import [^;]*;" "\\1" text "${text}")
    string(REGEX REPLACE "(^|\n)export " "\\1" text "${text}")
    string(REGEX REPLACE "(^|\n) *//[^\n]*" "" text "${text}")
    string(REGEX REPLACE "(^|\n) */\\*([^*]|\\*[^/])*\\*/" "" text "${text}")
    string(APPEND all "${text}")
  endforeach()
  set(${out} "${all}" PARENT_SCOPE)
endfunction()

# The bytes' SHA-256 in base64, as a Content-Security-Policy names it.
function(hash_of text out)
  set(letters "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
  string(SHA256 hex "${text}")
  set(base64 "")
  foreach(at RANGE 0 60 6)
    string(SUBSTRING "${hex}0" ${at} 6 digits)  # 32 bytes: the last group lacks a third one
    string(SUBSTRING "${digits}00" 0 6 digits)
    foreach(shift 18 12 6 0)
      math(EXPR index "(0x${digits} >> ${shift}) & 63")
      string(SUBSTRING "${letters}" ${index} 1 letter)
      string(APPEND base64 ${letter})
    endforeach()
  endforeach()
  string(SUBSTRING "${base64}" 0 43 base64)
  set(${out} "${base64}=" PARENT_SCOPE)
endfunction()

# What would end the element that holds it, or the C++ literal.
function(refuse_within text)
  foreach(bad IN ITEMS "</script" "</style" "<!--" ")page\"")
    string(FIND "${text}" "${bad}" at)
    if(NOT at EQUAL -1)
      message(FATAL_ERROR "the page's parts may not hold ${bad}")
    endif()
  endforeach()
endfunction()

concatenate("${STYLES}" style)
concatenate("${SCRIPTS}" script)
refuse_within("${style}")
refuse_within("${script}")
hash_of("${style}" style_hash)
hash_of("${script}" script_hash)
file(READ "${HTML}" html)
string(REPLACE "@STYLE@" "${style}" html "${html}")
string(REPLACE "@SCRIPT@" "${script}" html "${html}")
file(WRITE "${OUT}" "// Made by src/serve/page/assemble.cmake.
#include \"serve/page.h\"

namespace dms::serve {

const Page kPage{R\"page(${html})page\", \"${script_hash}\", \"${style_hash}\"};

}  // namespace dms::serve
")
