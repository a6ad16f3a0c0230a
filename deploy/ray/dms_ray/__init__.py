"""Ray Serve over several `dms_cpp.AsyncLLM`: an engine a replica, OpenAI's API before them all.

`settings` (what `args:` in serve.yaml may say), `app` (the deployments), `ingress` (HTTP), `fields`
and `asks` (bodies as typed requests), `engine` (a replica), `answers` (OpenAI's forms), `router`
(Ray's interface), `placement` and `prefixes` (its decisions, without Ray).
"""
