package protocol

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// object returns a JSON object with n distinct keys made by format.
func object(n int, format string) string {
	var b strings.Builder
	b.WriteByte('{')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"`+format+`":1`, i)
	}
	b.WriteByte('}')
	return b.String()
}

// hostileData returns objects of about size bytes that a careless duplicate
// check or scanner would be slow on.
func hostileData(size int) map[string]string {
	nested := "1"
	for range defaultMaxDepth - dataDepth - 1 {
		nested = strings.TrimSuffix(object(16, "k%d"), "}") + `,"next":` + nested + "}"
	}
	return map[string]string{
		"many-keys":     object(size/9, "%d"),
		"escaped-keys":  object(size/15, `\u0061%d`),
		"long-keys":     object(size/1000, strings.Repeat("a", 990)+"%d"),
		"few-long-keys": object(16, strings.Repeat("a", size/16)+"%02d"),
		"wide-objects":  `{"a":[` + strings.Repeat(object(17, "%d")+",", size/120) + `1]}`,
		"nested-wide":   `{"a":[` + strings.Repeat(nested+",", size/len(nested)) + `1]}`,
		"escapes":       `{"a":"` + strings.Repeat(`\n`, size/2) + `"}`,
		"surrogates":    `{"a":"` + strings.Repeat(`\ud83d\ude00`, size/12) + `"}`,
		"empty-objects": `{"a":[` + strings.Repeat("{},", size/3) + `1]}`,
		"white-space":   `{"a":` + strings.Repeat(" ", size) + `1}`,
		"number":        `{"a":` + strings.Repeat("9", size) + `}`,
		"two-byte":      `{"a":"` + strings.Repeat("é", size/2) + `"}`,
	}
}

func TestRepeatedKeyIsFoundInObjectsOfEverySize(t *testing.T) {
	t.Parallel()
	sizes := []int{1, 2, fewKeys - 1, fewKeys, fewKeys + 1, 2 * fewKeys, 2*fewKeys + 1, 100, 1000, 20000}
	for _, n := range sizes {
		fine := object(n, "k%d")
		if err := CheckData([]byte(fine), Limits{}); err != nil {
			t.Fatalf("%d distinct keys: %v", n, err)
		}
		for _, again := range []int{0, n / 2, n - 1} {
			for _, key := range []string{fmt.Sprintf("k%d", again), fmt.Sprintf(`\u006b%d`, again)} {
				data := fine[:len(fine)-1] + `,"` + key + `":1}`
				if err := CheckData([]byte(data), Limits{}); !errors.Is(err, &Error{Code: CodeInvalidJSON}) {
					t.Errorf("%d keys and %s again: %v", n, key, err)
				}
			}
		}
	}
}

func TestTableOfALargeObjectServesTheNextOne(t *testing.T) {
	t.Parallel()
	// Large, then small, then nested ones: the same keys must be free again, and
	// a repeated one must still be found.
	fine := `{"l":[` + object(500, "%d") + `,` + object(20, "%d") + `,{"in":` + object(20, "%d") + `,` +
		object(500, "%d")[1:] + `,` + object(300, "%d") + `]}`
	if err := CheckData([]byte(fine), Limits{}); err != nil {
		t.Fatal(err)
	}
	wrong := strings.TrimSuffix(fine, "}]}") + `,"299":1}]}`
	if err := CheckData([]byte(wrong), Limits{}); !errors.Is(err, &Error{Code: CodeInvalidJSON}) {
		t.Errorf("got %v", err)
	}
}

func TestHostileDataNeedsLittleMemory(t *testing.T) {
	for name, data := range hostileData(1 << 16) {
		s := scanner{b: []byte(data), maxDepth: defaultMaxDepth}
		if s.value(0) != len(data) {
			t.Errorf("%s: %s", name, s.message)
		}
		allocs := testing.AllocsPerRun(10, func() {
			if err := CheckData([]byte(data), Limits{}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
		if allocs > 5*defaultMaxDepth {
			t.Errorf("%s: %v allocations", name, allocs)
		}
	}
}

func TestManyUnknownKeysInTheEnvelopeAreChecked(t *testing.T) {
	t.Parallel()
	keys := strings.TrimPrefix(object(1000, "Key%d"), "{")
	frame := `{"meta":{"message_id":"m",` + keys + `,"content":{"type":"x",` + keys + `,` + keys
	if e := mustDecode(t, frame); e.MessageID != "m" || e.Type != "x" {
		t.Errorf("got %+v", e)
	}
	frame = strings.TrimSuffix(frame, "}") + `,"kEY500":1}`
	if _, err := Decode([]byte(frame), Limits{}); !errors.Is(err, &Error{Code: CodeInvalidJSON}) {
		t.Errorf("got %v", err)
	}
}
