"""Kills processes that write both stores, again and again, and looks afterwards whether the stores agree.

parent      keeps 8 writers and 2 recovery workers alive, kills them by plan, and hears what was acknowledged
writer      writes pairs in both stores until it is killed: at a point of the protocol, or at any moment
recoverer   ends what dead writers left prepared, with a grace so short that slow writers are interrupted as well
checker     reads both databases with other drivers' calls than the writers, and compares everything
"""
