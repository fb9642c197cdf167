package load

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
)

// MemoryPath is where a server of this program, at Target.Control, answers
// with a Runtime. A POST collects all garbage first, and gives free memory back
// to the system.
const MemoryPath = "/memory"

// Runtime is what the Go runtime of a server says about its memory, in bytes.
type Runtime struct {
	Heap      uint64 `json:"heap"`        // objects: reachable, or not collected yet
	HeapInUse uint64 `json:"heap_in_use"` // spans that hold them
	Stacks    uint64 `json:"stacks"`
	Other     uint64 `json:"other"` // the runtime's own
	// Goroutines is how many there are.
	Goroutines int `json:"goroutines"`
}

// memory asks the server about its memory, with http.MethodPost after it has
// settled. The answer is zero if there is nobody to ask.
func (t Target) memory(ctx context.Context, method string) (Runtime, error) {
	var r Runtime
	if t.Control == "" {
		return r, nil
	}
	b, err := ask(ctx, method, t.Control+MemoryPath)
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		return r, fmt.Errorf("asking for the server's memory: %w", err)
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
