package pypeer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"github.com/pando-agents/pando/internal/pypeer"
	"github.com/pando-agents/pando/protocol"
)

// rewrite replaces the transcripts: go test ./internal/pypeer -run Golden -rewrite
var rewrite = flag.Bool("rewrite", false, "record the golden transcripts anew")

// goldenDir holds one file per scenario with what the strict codec reads; the
// frames that it refuses are in the file of the same name in "refused".
const goldenDir = "../../protocol/testdata/golden"

// TestGoldenTranscriptsAreWhatThePythonSDKSays plays every scenario between
// unmodified peers and compares it with the committed transcript, apart from ids and
// times.
func TestGoldenTranscriptsAreWhatThePythonSDKSays(t *testing.T) {
	t.Parallel()
	dialling, listening := newAgents(t)
	server := pypeer.NewServer(t, listening, 0)
	client := pypeer.NewClient(t, dialling)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	files := make(map[string]bool)
	for name, play := range sdkScenarios {
		relay := pypeer.NewRelay(t, server.URL)
		session := &sdkSession{t: t, ctx: ctx, client: client, relay: relay}
		play(session)
		frames := relay.Frames()
		if session.keep > 0 {
			frames = frames[:session.keep]
		}
		check(t, name, frames, files)
	}
	for name, steps := range rawScenarios {
		relay := pypeer.NewRelay(t, server.URL)
		playRaw(ctx, t, relay, steps)
		check(t, name, relay.Frames(), files)
	}
	noOthers(t, files)
}

// playRaw sends each frame as a client of its own and waits for what it is
// answered with before it sends the next.
func playRaw(ctx context.Context, t *testing.T, relay *pypeer.Relay, steps []step) {
	t.Helper()
	conn, _, err := gws.NewClient(gws.BuiltinEventHandler{}, &gws.ClientOption{
		Addr:          relay.URL,
		RequestHeader: map[string][]string{"Authorization": {"Bearer made.up.token"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		conn.ReadLoop()
	}()
	passed := 0
	for _, s := range steps {
		if err := conn.WriteString(s.frame); err != nil {
			t.Fatalf("sending %s: %v", s.frame, err)
		}
		if passed++; s.answered {
			passed++
		}
		frames, err := relay.Wait(ctx, func(frames []pypeer.Frame) bool { return len(frames) >= passed })
		if err != nil || frames[len(frames)-1].Close != 0 {
			t.Fatalf("after %s: %v, %+v", s.frame, err, frames)
		}
	}
	_ = conn.WriteClose(1000, nil)
	<-read
	frames, err := relay.Wait(ctx, ended)
	if err != nil || len(frames) != passed+1 {
		t.Fatalf("%d frames in all, want %d and a close: %v", len(frames), passed, err)
	}
}

// check compares one transcript with its files, or writes them.
func check(t *testing.T, name string, frames []pypeer.Frame, files map[string]bool) {
	t.Helper()
	var read, refused bytes.Buffer
	for _, f := range frames {
		if f.Close != 0 {
			continue
		}
		if _, err := protocol.Decode([]byte(f.Frame), protocol.Limits{}); err != nil {
			appendLine(t, &refused, f)
		} else {
			appendLine(t, &read, f)
		}
	}
	compare(t, filepath.Join(goldenDir, name+".jsonl"), read.Bytes(), files)
	compare(t, filepath.Join(goldenDir, "refused", name+".jsonl"), refused.Bytes(), files)
}

func appendLine(t *testing.T, to *bytes.Buffer, f pypeer.Frame) {
	t.Helper()
	encoder := json.NewEncoder(to)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(f); err != nil {
		t.Fatal(err)
	}
}

func compare(t *testing.T, file string, got []byte, files map[string]bool) {
	t.Helper()
	if len(got) == 0 {
		return
	}
	files[file] = true
	if *rewrite {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Errorf("%v (record it with -rewrite)", err)
		return
	}
	gotLines, wantLines := bytes.Split(normal(got), []byte("\n")), bytes.Split(normal(want), []byte("\n"))
	for i := range min(len(gotLines), len(wantLines)) {
		if !bytes.Equal(gotLines[i], wantLines[i]) {
			t.Errorf("%s:%d\n got %s\nwant %s", file, i+1, gotLines[i], wantLines[i])
		}
	}
	if len(gotLines) != len(wantLines) {
		t.Errorf("%s: %d lines, want %d", file, len(gotLines), len(wantLines))
	}
}

// noOthers fails for transcripts that no scenario makes, or removes them.
func noOthers(t *testing.T, files map[string]bool) {
	t.Helper()
	for _, pattern := range []string{"*.jsonl", "refused/*.jsonl"} {
		found, err := filepath.Glob(filepath.Join(goldenDir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range found {
			if files[file] {
				continue
			}
			if !*rewrite {
				t.Errorf("%s belongs to no scenario", file)
			} else if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}
	}
}

var (
	uuidText = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	timeText = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?\+00:00`)
)

// normal numbers the ids in the order in which they occur and takes out times.
func normal(transcript []byte) []byte {
	numbers := make(map[string]int)
	transcript = uuidText.ReplaceAllFunc(transcript, func(id []byte) []byte {
		if _, ok := numbers[string(id)]; !ok {
			numbers[string(id)] = len(numbers)
		}
		return fmt.Appendf(nil, "<id %d>", numbers[string(id)])
	})
	return timeText.ReplaceAll(transcript, []byte("<time>"))
}
