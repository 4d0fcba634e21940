package waltest

import "bytes"

const page = 4096

// Holes returns the ranges that count as never written: pages of zeroes that no write of this history has touched. After a crash that may be
// more than a file system would report, since pages on which zeroes were written look alike; never a page that holds anything.
func (d *Disk) Holes() ([][2]int64, error) {
	if !d.Sparse {
		return nil, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	written := make([]bool, len(d.view)/page)
	for _, e := range d.history {
		if e.Kind != Start {
			continue
		}
		for at := e.Off / page; at < min((e.Off+int64(len(e.Data))+page-1)/page, int64(len(written))); at++ {
			written[at] = true
		}
	}
	var holes [][2]int64
	zeroes := make([]byte, page)
	for i := range written {
		at := int64(i) * page
		if written[i] || !bytes.Equal(d.view[at:at+page], zeroes) {
			continue
		}
		if n := len(holes); n > 0 && holes[n-1][1] == at {
			holes[n-1][1] += page
			continue
		}
		holes = append(holes, [2]int64{at, at + page})
	}
	return holes, nil
}
