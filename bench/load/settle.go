package load

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
)

// SettlePath is where a server of this program, at Target.Control, takes a
// POST: it collects all garbage, gives free memory back to the system, and
// answers with a Runtime.
const SettlePath = "/settle"

// Runtime is what the Go runtime of a server says about its memory, in bytes.
type Runtime struct {
	HeapLive  uint64 `json:"heap_live"`   // objects that are reachable
	HeapInUse uint64 `json:"heap_in_use"` // spans that hold them
	Stacks    uint64 `json:"stacks"`
	Other     uint64 `json:"other"` // the runtime's own
	// Goroutines is how many there are.
	Goroutines int `json:"goroutines"`
}

// settle makes the server settle its memory; it does nothing if it cannot.
func (t Target) settle(ctx context.Context) (Runtime, error) {
	var r Runtime
	if t.Control == "" {
		return r, nil
	}
	b, err := ask(ctx, http.MethodPost, t.Control+SettlePath)
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		return r, fmt.Errorf("settling the server's memory: %w", err)
	}
	return r, nil
}

// Fetch writes what a server of this program says at a URL of its control
// listener to a file. It blocks for as long as the server takes.
func Fetch(ctx context.Context, url, file string) error {
	b, err := ask(ctx, http.MethodGet, url)
	if err != nil {
		return fmt.Errorf("fetching %s: %w", url, err)
	}
	return os.WriteFile(file, b, 0o644)
}

// ask makes one request on a connection of its own, which leaves nothing
// behind in either process.
func ask(ctx context.Context, method, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, err
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, b)
	}
	return b, err
}
