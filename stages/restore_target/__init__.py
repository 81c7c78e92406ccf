"""The folder that is restored to: laid out, written by handles, resumed, put in its place."""
