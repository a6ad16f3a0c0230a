"""What a model may be made to write, for those who show it."""

ATTACK = '<script>document.title="owned"</script><img src=x onerror="document.title=\'owned\'">'
TABLE = "\n".join(["|" * 800, "-", *["|"] * 800])
OPEN, FRACTION = "\\(", "\\frac"
HOSTILE = f"""{ATTACK}

# {ATTACK}

[a link](javascript:document.title='owned') [another](data:text/html,{ATTACK}) ![x](https://a.example)
[good](https://a.example/?q="><b>) **bold** `{ATTACK}`

| {ATTACK} | b |
|---|---|
| 1 | <b>2</b> |

```<b>
{ATTACK}
{"long" * 500}
```

{"x" * 5000}
{"> " * 3000}deep {"*" * 3000} {"[" * 3000} {"_a" * 3000} {"`" * 2000}

{TABLE}

## a{" " * 1_000_000}b

{ATTACK}
===

    {ATTACK}

Of $x = {ATTACK}$ and \\({ATTACK}\\) and

\\[
{ATTACK}
\\]

{"$" * 3000} {"$a " * 3000} {OPEN * 3000} ${"{" * 1900}=$ ${"^" * 1900}$ ${FRACTION * 390}$

{"$$a" * 3000}

a
--{" " * 1_000_000}b

{"~" * 8000}`"""
