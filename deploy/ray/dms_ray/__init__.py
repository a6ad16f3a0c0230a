"""Ray Serve over several `dms_cpp.HttpApi`: a server's endpoints a replica, one address before all.

`settings` (what `args:` in serve.yaml may say), `app` (the deployments), `ingress` (HTTP), `calls`
(a request on its way to a replica), `engine` (a replica), `merged` (answers of all as one),
`router` (Ray's interface), `placement` and `prefixes` (its decisions, without Ray), `errors`.
"""
