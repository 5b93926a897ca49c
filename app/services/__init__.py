"""What one can do in Hone: a session and plain values go in, rows and domain objects come out."""
