"""The daemon: a loop that starts jobs when their time comes, and what it needs around it."""
