package netpoll

// MoveToGoroutine makes the owner move the connection at the end of its turn. Owner goroutine.
func (c *Conn) MoveToGoroutine() { c.moveWanted = c.gc != nil }
