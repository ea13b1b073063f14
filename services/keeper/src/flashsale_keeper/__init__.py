"""The keeper: reopens a Redis that was restarted, and rebuilds one that lost data, before it sells again."""
