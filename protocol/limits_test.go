package protocol

import (
	"errors"
	"strings"
	"testing"
)

// deep returns an object in which objects and arrays nest n deep.
func deep(n int) string {
	return `{"a":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + "}"
}

func decodeCode(frame string, lim Limits) string {
	_, err := Decode([]byte(frame), lim)
	var perr *Error
	if errors.As(err, &perr) {
		return perr.Code
	}
	return ""
}

func frameWithData(data string) string {
	return `{"meta":{"message_id":"m"},"content":{"type":"x","data":` + data + `}}`
}

func TestFrameOfTheGreatestSizeIsAcceptedAndOneByteMoreIsNot(t *testing.T) {
	t.Parallel()
	for _, lim := range []Limits{{}, {MaxBytes: 200}, {MaxBytes: -1}} {
		top := lim.MaxBytes
		if top <= 0 {
			top = 1 << 20
		}
		frame := frameWithData(`{"a":""}`)
		frame = frameWithData(`{"a":"` + strings.Repeat("x", top-len(frame)) + `"}`)
		if code := decodeCode(frame, lim); code != "" {
			t.Errorf("%d bytes: %s", len(frame), code)
		}
		if code := decodeCode(frame+" ", lim); code != CodeTooLarge {
			t.Errorf("%d bytes: %q", len(frame)+1, code)
		}
	}
}

func TestNestingIsBounded(t *testing.T) {
	t.Parallel()
	for _, lim := range []Limits{{}, {MaxDepth: 5}, {MaxDepth: 10000}} {
		top := lim.MaxDepth
		if top == 0 {
			top = 64
		}
		fine := frameWithData(deep(top - 2))
		if code := decodeCode(fine, lim); code != "" {
			t.Errorf("depth %d: %s", top, code)
		}
		_, err := Decode([]byte(frameWithData(deep(top-1))), lim)
		var perr *Error
		if !errors.As(err, &perr) || perr.Code != CodeTooDeep || perr.ReplyTo != "m" {
			t.Errorf("depth %d: %v", top+1, err)
		}
		// Unknown keys are no way round the bound.
		if code := decodeCode(`{"x":`+deep(top)+`,"meta":{},"content":{"type":"x"}}`, lim); code != CodeTooDeep {
			t.Errorf("depth %d in an unknown key: %q", top+1, code)
		}
	}
}

func TestDepthHasAnUpperBoundOfItsOwn(t *testing.T) {
	t.Parallel()
	lim := Limits{MaxDepth: 1 << 40}
	if code := decodeCode(strings.Repeat("[", 1<<20), lim); code != CodeTooDeep {
		t.Errorf("got %q", code)
	}
	if code := decodeCode(strings.Repeat(`{"":`, 1<<18), lim); code != CodeTooDeep {
		t.Errorf("got %q", code)
	}
}

func TestStringsInMetaAndTheTypeAreBounded(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"message_id", "channel_id", "timestamp", "sender", "sender_id", "recipient", "reply_to"} {
		frame := func(text string) string {
			return `{"meta":{"` + key + `":"` + text + `"},"content":{"type":"x"}}`
		}
		for _, unit := range []string{"x", `\u0041`, `\n`} {
			if code := decodeCode(frame(strings.Repeat(unit, 256)), Limits{}); code != "" {
				t.Errorf("%s of 256 bytes: %s", key, code)
			}
			if code := decodeCode(frame(strings.Repeat(unit, 257)), Limits{}); code != CodeInvalidMessage {
				t.Errorf("%s of 257 bytes: %q", key, code)
			}
		}
	}
	frame := func(text string) string { return `{"meta":{},"content":{"type":"` + text + `"}}` }
	if code := decodeCode(frame(strings.Repeat("x", 10)), Limits{MaxString: 10}); code != "" {
		t.Errorf("type of 10 bytes: %s", code)
	}
	if code := decodeCode(frame(strings.Repeat("x", 11)), Limits{MaxString: 10}); code != CodeInvalidContent {
		t.Errorf("type of 11 bytes: %q", code)
	}
}
