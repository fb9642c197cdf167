package pando_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// record is one line of a log.
type record struct {
	level slog.Level
	text  string
	attrs map[string]string
}

func (r record) String() string { return fmt.Sprintf("%v %q %v", r.level, r.text, r.attrs) }

// recorder is a log that tests can read.
type recorder struct {
	mu   *sync.Mutex
	list *[]record
	with []slog.Attr
}

func newRecorder() *recorder { return &recorder{mu: new(sync.Mutex), list: new([]record)} }

func (r *recorder) Enabled(context.Context, slog.Level) bool { return true }

func (r *recorder) Handle(_ context.Context, in slog.Record) error {
	out := record{level: in.Level, text: in.Message, attrs: map[string]string{}}
	add := func(a slog.Attr) bool {
		out.attrs[a.Key] = a.Value.Resolve().String()
		return true
	}
	for _, a := range r.with {
		add(a)
	}
	in.Attrs(add)
	r.mu.Lock()
	defer r.mu.Unlock()
	*r.list = append(*r.list, out)
	if os.Getenv("PANDO_TEST_LOG") != "" {
		fmt.Fprintln(os.Stderr, out)
	}
	return nil
}

func (r *recorder) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &recorder{mu: r.mu, list: r.list, with: append(slices.Clone(r.with), attrs...)}
}

func (r *recorder) WithGroup(string) slog.Handler { return r }

func (r *recorder) records() []record {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(*r.list)
}

// find returns a record whose text begins with text and which has these
// attributes, given as key, value, key, value; a value only has to be contained.
func (r *recorder) find(text string, attrs ...string) (record, bool) {
	for _, rec := range r.records() {
		ok := strings.HasPrefix(rec.text, text)
		for i := 0; ok && i < len(attrs); i += 2 {
			got, there := rec.attrs[attrs[i]]
			ok = there && strings.Contains(got, attrs[i+1])
		}
		if ok {
			return rec, true
		}
	}
	return record{}, false
}

// wait waits for a record as find describes it.
func (r *recorder) wait(t *testing.T, text string, attrs ...string) record {
	t.Helper()
	var rec record
	if !poll(patience, func() (ok bool) { rec, ok = r.find(text, attrs...); return }) {
		t.Fatalf("no record %q with %q in the log:\n%s", text, attrs, r.tail())
	}
	return rec
}

// tail is what a failing test shows of the log.
func (r *recorder) tail() string {
	all := r.records()
	all = all[max(0, len(all)-30):]
	lines := make([]string, len(all))
	for i, rec := range all {
		delete(rec.attrs, "stack")
		lines[i] = rec.String()
	}
	return strings.Join(lines, "\n")
}

// mentions reports whether any record has text anywhere.
func (r *recorder) mentions(text string) bool {
	for _, rec := range r.records() {
		if strings.Contains(rec.text, text) {
			return true
		}
		for _, v := range rec.attrs {
			if strings.Contains(v, text) {
				return true
			}
		}
	}
	return false
}
