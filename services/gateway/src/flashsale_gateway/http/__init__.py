"""HTTP: from bytes on a socket to a checked request, and from a result to an answer.

Connections are accepted in server and connection_limit; bytes become requests in request_reader and fast_path; bodies are read in
bodies and checked in body_schemas; refusals and their texts are in problems; answers are rendered in answers.
"""
