"""The domain: plain values and pure functions, without I/O and without a framework.

Start at `rules`, which decides whether an event may happen. `evolve` applies an accepted event, `read_set` names the
rows that an event needs, `outcomes` are the results, and `state_hash` hashes a locker's state. `use_cases` put these
together, and `entities` are the values they work on. `ports` are the interfaces that infrastructure implements,
`errors` is the one tree of exceptions, and `wording` has words for messages. May import nothing else of this package.
"""
