package waltest

// Holes returns the ranges that count as never written: pages of zeroes that no write of this history has touched. After a crash that may be
// more than a file system would report, since pages on which zeroes were written look alike; never a page that holds anything.
func (d *Disk) Holes() ([][2]int64, error) {
	if !d.Sparse {
		return nil, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	written := make([]bool, d.size/pageBytes)
	for _, e := range d.history {
		if e.Kind != Start {
			continue
		}
		for at := e.Off / pageBytes; at < min((e.Off+int64(len(e.Data))+pageBytes-1)/pageBytes, int64(len(written))); at++ {
			written[at] = true
		}
	}
	var holes [][2]int64
	for i := range written {
		at := int64(i) * pageBytes
		var shown page
		if !written[i] {
			d.Peek(shown[:], at)
		}
		if written[i] || shown != (page{}) {
			continue
		}
		if n := len(holes); n > 0 && holes[n-1][1] == at {
			holes[n-1][1] += pageBytes
			continue
		}
		holes = append(holes, [2]int64{at, at + pageBytes})
	}
	return holes, nil
}
