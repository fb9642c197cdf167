package load

import (
	"math/bits"
	"time"
)

// Each power of two is cut in 32 buckets: a quantile is at most 3 % too high.
const (
	subBits  = 5
	subCount = 1 << subBits
	// Times of more than 2^40 ns, 18 minutes, are counted in the last bucket.
	topBit  = 40
	buckets = (topBit - subBits + 1) * subCount
)

// histogram counts durations. The zero value is empty and ready. It is not
// safe for concurrent use: every channel has its own.
type histogram struct {
	counts [buckets]uint32
	total  uint64
}

func (h *histogram) add(d time.Duration) {
	h.counts[bucket(d)]++
	h.total++
}

func (h *histogram) merge(other *histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
}

// quantile returns the upper bound of the bucket in which the share q of all
// durations lies; 0 when there are none.
func (h *histogram) quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := max(uint64(q*float64(h.total)+0.5), 1)
	var seen uint64
	for i, n := range h.counts {
		if seen += uint64(n); seen >= rank {
			return upper(i)
		}
	}
	return upper(buckets - 1)
}

func bucket(d time.Duration) int {
	v := uint64(max(d, 0))
	if v < subCount {
		return int(v)
	}
	if v >= 1<<topBit {
		return buckets - 1
	}
	shift := bits.Len64(v) - subBits - 1
	return (shift+1)*subCount + int(v>>shift) - subCount
}

// upper is the largest duration that bucket maps to i.
func upper(i int) time.Duration {
	if i < subCount {
		return time.Duration(i)
	}
	shift := i/subCount - 1
	return time.Duration((uint64(i%subCount)+subCount+1)<<shift - 1)
}
