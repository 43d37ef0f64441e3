"""The conformance kit: checks that any engine, in any language, can be held against.

`running.examine` runs the checks on a `subject`, an engine that the kit has started or that runs somewhere. A check is
a function in `checks/`, registered by its id. What several checks need (the opening, a line of play, a whole game) an
`Examination` makes once.
"""
