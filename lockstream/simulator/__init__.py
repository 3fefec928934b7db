"""The simulator: an endless stream of simulated events, from a seed, in the order of their arrival at a server.

Start at `simulation`, which opens the lockers and yields the arrivals. `network` makes lockers and compartments, and
`world` holds the clock, the agenda of coming actions and the connections of lockers. The actions are functions:
`parcels` for reservations, `faults` for incidents and repairs, `outages` for lost connections. `rhythm` and
`distribution` choose the times of actions. These modules do no I/O, and read no clock. `client` posts events to a
server, and `pace` yields the part of the stream that is due now. May import `core`.
"""
