package rate

// Bucket holds tokens that come back at a rate, up to as many as come in Samples windows. It is full at first. It may be overdrawn by one taking, which is then
// paid for by waiting: what is asked for may be larger than the bucket.
type Bucket struct {
	Samples int   // windows, at least 1
	Window  int64 // milliseconds of one

	tokens  float64
	updated int64
	used    bool // tokens and updated count
}

// Tokens are those that are there when limit of them come each second; negative when overdrawn.
func (b *Bucket) Tokens(now int64, limit float64) float64 {
	burst := float64(b.Samples) * float64(b.Window) / 1000 * limit
	if !b.used {
		b.used, b.tokens = true, burst
	} else {
		b.tokens = min(burst, b.tokens+limit*float64(now-b.updated)/1000)
	}
	b.updated = now
	return b.tokens
}

// Take takes n tokens whether they are there or not.
func (b *Bucket) Take(now int64, n, limit float64) {
	b.Tokens(now, limit)
	b.tokens -= n
}

// Wait is how many milliseconds pass until the bucket is not overdrawn any more; 0 when it is not.
func (b *Bucket) Wait(now int64, limit float64) int64 {
	tokens := b.Tokens(now, limit)
	if tokens >= 0 {
		return 0
	}
	return roundMillis(-tokens / limit * 1000)
}
