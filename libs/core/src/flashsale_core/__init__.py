"""What every flashsale service must agree on: orders, ids, keys, messages, topology, settings.

Imports no client library; services and the command line import it, it imports none of them.
"""
