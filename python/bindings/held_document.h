#pragma once
// A document and what its file says besides.

#include "dms/document.h"
#include "dms/document_prompt.h"

namespace dms::python {

/// Any thread may use it.
struct HeldDocument {
  Document document;
  DocumentNote note;
};

}  // namespace dms::python
