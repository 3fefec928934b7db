"""The domain: plain values and pure functions, without I/O and without a framework.

Start at `rules`, which decides whether an event may happen. `evolve` returns the rows that an accepted event changes,
`row_set` holds the rows of one batch of events, `outcomes` are the results, and `state_hash` hashes a locker's state.
`views` builds a locker as reads show it, and `past` rolls rows back to an earlier position. `bound` limits reads to
some lockers. `use_cases` combine these modules, and `entities` are their values. `ports` are the interfaces that
infrastructure implements, and `key_store` is the interface for API keys. `errors` has the exceptions that several parts
share, `wording` makes numbers and nouns agree, and `addresses` reads IP addresses. The core imports nothing else of
this package.
"""
