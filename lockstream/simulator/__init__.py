"""The simulator: lives of lockers as a seeded, endless stream of events in the order of their arrival at a server.

Start at `simulation`, which opens the lockers and yields the arrivals. `network` makes lockers and compartments, and
`world` holds the clock, the agenda of coming actions and the connections of lockers. The actions are functions:
`parcels` for reservations, `faults` for incidents and repairs, `outages` for lost connections. `rhythm` and
`distribution` say when something happens. These modules do no I/O, and read no clock. `client` posts events to a
server, and `pace` says which part of the stream is due now. May import `core`.
"""
