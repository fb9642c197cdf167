package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// goldenFrames returns the frames recorded in a directory, by file and line.
func goldenFrames(t testing.TB, dir string) map[string][]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts in %s: %v", dir, err)
	}
	frames := make(map[string][]string)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			var entry struct{ From, Frame string }
			if err := json.Unmarshal(line, &entry); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if entry.From != "client" && entry.From != "server" {
				t.Fatalf("%s: a frame from %q", file, entry.From)
			}
			frames[file] = append(frames[file], entry.Frame)
		}
	}
	return frames
}

func TestFramesOfThePythonPeerAreDecodedAndEncodedWithoutLoss(t *testing.T) {
	t.Parallel()
	for file, frames := range goldenFrames(t, "testdata/golden") {
		for i, frame := range frames {
			e, err := Decode([]byte(frame), Limits{})
			if err != nil {
				t.Errorf("%s:%d: %v", file, i+1, err)
				continue
			}
			checkAgainstStdlib(t, []byte(frame), e)
			again, err := Decode(AppendEncode(nil, &e), Limits{})
			if err != nil || !equal(again, e) {
				t.Errorf("%s:%d: got %+v, %v after encoding, want %+v", file, i+1, again, err, e)
			}
		}
	}
}

func TestFramesThatOnlyPythonTakesAreRefused(t *testing.T) {
	t.Parallel()
	for file, frames := range goldenFrames(t, "testdata/golden/refused") {
		for i, frame := range frames {
			e, err := Decode([]byte(frame), Limits{})
			var perr *Error
			if !errors.As(err, &perr) {
				t.Errorf("%s:%d: got %+v, %v", file, i+1, e, err)
			}
		}
	}
}
