"""The parts of a message of HTTP: headers, formats, codings, the body."""
