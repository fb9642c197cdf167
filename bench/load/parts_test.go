package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestQuantilesAreAtMostThreePerCentTooHigh(t *testing.T) {
	t.Parallel()
	var h histogram
	for i := 1; i <= 10_000; i++ {
		h.add(time.Duration(i) * time.Microsecond)
	}
	for q, want := range map[float64]time.Duration{0.5: 5 * time.Millisecond, 0.99: 9900 * time.Microsecond} {
		if got := h.quantile(q); got < want || got > want+want*4/100 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
}

func TestEveryDurationIsInItsBucket(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, 1<<topBit-1).Draw(t, "d"))
		i := bucket(d)
		if upper(i) < d || i > 0 && upper(i-1) >= d {
			t.Fatalf("%d is in bucket %d, which ends at %d", d, i, upper(i))
		}
	})
}

func TestMaskIsItsOwnInverse(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOf(rapid.Byte()).Draw(t, "payload")
		key := rapid.Uint32().Draw(t, "key")
		b := bytes.Clone(want)
		mask(b, key)
		for i := range b {
			if b[i] != want[i]^byte(key>>(8*(i%4))) {
				t.Fatalf("byte %d is %x", i, b[i])
			}
		}
		mask(b, key)
		if !bytes.Equal(b, want) {
			t.Fatalf("got %x, want %x", b, want)
		}
	})
}

func TestMessagesAreJSONAndTheirIdsAreFoundAgain(t *testing.T) {
	t.Parallel()
	c := newTemplate(newUUID()[:sharedID], newUUID(), "s", "r", "hello", time.Unix(0, 0))
	for _, number := range []uint64{1, 0xabc, maxNum} {
		frame := c.appendMessage(nil, 0, 4095, number, 1234567, c.request)
		// A masking key of 0 leaves the text as it is; splitFrame takes
		// frames of servers, which have no key.
		payload := frame[bytes.IndexByte(frame, '{'):]
		var got struct {
			Meta struct {
				MessageID string `json:"message_id"`
				Sequence  int
			}
		}
		if err := json.Unmarshal(payload, &got); err != nil || got.Meta.Sequence != 1234567 || len(got.Meta.MessageID) != idLength {
			t.Fatalf("%s decodes to %+v, %v", payload, got, err)
		}
		reply := []byte(`{"meta": {"reply_to" : "` + got.Meta.MessageID + `"}}`)
		if slot, num, err := c.replyTo(reply); slot != 4095 || num != number || err != nil {
			t.Errorf("found slot %d, number %d, %v", slot, num, err)
		}
	}
}

func TestHostileFramesAreRefused(t *testing.T) {
	t.Parallel()
	for name, frame := range map[string][]byte{
		"masked":     {0x81, 0x81, 0, 0, 0, 0, 'x'},
		"fragmented": {0x01, 0x01, 'x'},
		"reserved":   {0xc1, 0x01, 'x'},
		"huge":       {0x81, 127, 0xff, 0, 0, 0, 0, 0, 0, 0},
	} {
		if _, _, _, err := splitFrame(frame); !errors.Is(err, errFrame) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestPartOfAFrameWaitsForTheRest(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 125, 126, 65535, 65536} {
		frame := appendHeader(nil, opText, 0, size)
		frame = frame[:len(frame)-4] // a server's frame has no key
		frame[1] &= 0x7f
		frame = append(frame, bytes.Repeat([]byte("x"), size)...)
		for _, n := range []int{0, 1, 2, 3, len(frame) - 1} {
			if _, _, total, err := splitFrame(frame[:min(n, len(frame)-1)]); total != 0 || err != nil {
				t.Errorf("size %d cut at %d: total %d, %v", size, n, total, err)
			}
		}
		if _, payload, total, err := splitFrame(frame); len(payload) != size || total != len(frame) || err != nil {
			t.Errorf("size %d: payload of %d, total %d, %v", size, len(payload), total, err)
		}
	}
}
