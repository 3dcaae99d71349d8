"""The talk between the two sides as two machines without I/O.

Each takes events and gives commands; a shell on either side watches, reads, writes and keeps
the time. So both can be run against each other in a test, in any order of events.
"""
