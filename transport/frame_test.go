package transport

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestFramesAreTakenFromTheLanesWholeAndInOrder checks the queue against a model.
func TestFramesAreTakenFromTheLanesWholeAndInOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var o outbound
		var want [2][]string
		var got [2][]string
		client := rapid.Bool().Draw(t, "client")
		n := 0
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			if rapid.IntRange(0, 3).Draw(t, "step") > 0 {
				lane := rapid.IntRange(0, 1).Draw(t, "lane")
				m := fmt.Sprintf("%d/%d/%s", lane, n, strings.Repeat("x", rapid.SampledFrom([]int{0, 1, 120, 130, 30000, 40000}).Draw(t, "size")))
				n++
				appendTo([]**buffer{&o.data, &o.control}[lane], client, opText, []byte(m))
				want[lane] = append(want[lane], m)
				continue
			}
			if o.take(client) {
				unpack(t, &got, o.wire.b[o.wire.off:], client)
				o.wire.release()
				o.wire = nil
			}
		}
		for o.take(client) {
			unpack(t, &got, o.wire.b[o.wire.off:], client)
			o.wire.release()
			o.wire = nil
		}
		for lane := range want {
			if strings.Join(want[lane], ",") != strings.Join(got[lane], ",") {
				t.Fatalf("lane %d: got %d messages, want %d", lane, len(got[lane]), len(want[lane]))
			}
		}
		if o.pending() || o.size() != 0 {
			t.Fatal("something is left")
		}
	})
}

// unpack takes whole frames apart.
func unpack(t *rapid.T, got *[2][]string, b []byte, client bool) {
	for len(b) > 0 {
		n := frameSize(b)
		if n > len(b) {
			t.Fatalf("frame of %d bytes in %d", n, len(b))
		}
		f := bytes.Clone(b[:n])
		b = b[n:]
		p := f[headerSize(f[1]):]
		if client {
			key := f[headerSize(f[1])-4 : headerSize(f[1])]
			for i := range p {
				p[i] ^= key[i&3]
			}
		}
		lane := int(p[0] - '0')
		got[lane] = append(got[lane], string(p))
	}
}

func TestTwoDialledConnectionsDoNotShareMasks(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		seen[string(appendFrame(nil, true, opText, nil)[2:6])] = true
	}
	if len(seen) < 990 {
		t.Errorf("%d different masks in 1000 frames", len(seen))
	}
}
