"""Three lines to a first answer.

python examples/quick_start.py [MODEL]
"""

import sys

from dms_cpp import LLM, SamplingParams

llm = LLM(sys.argv[1] if len(sys.argv) > 1 else "models/demo")
outputs = llm.generate(["It was a dark night and"], SamplingParams(temperature=0.6, max_tokens=64))
print(outputs[0].outputs[0].text)
