package research

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// OpenAIOptions configure an OpenAI. URL and Model must be set.
type OpenAIOptions struct {
	URL, Model string
	// Key is sent as a bearer token if it is not empty.
	Key string
	// Timeout is for one prompt, with its repetitions; default 1 minute.
	Timeout time.Duration
	// HTTP makes the requests; default http.DefaultClient.
	HTTP *http.Client
	// Pause waits between repetitions, until ctx ends; default a real pause.
	Pause func(ctx context.Context, d time.Duration)
}

// OpenAI is a Model behind the chat completions of an OpenAI-compatible API.
type OpenAI struct{ o OpenAIOptions }

// NewOpenAI returns the model; it does not use the network.
func NewOpenAI(o OpenAIOptions) *OpenAI {
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	if o.HTTP == nil {
		o.HTTP = http.DefaultClient
	}
	if o.Pause == nil {
		o.Pause = func(ctx context.Context, d time.Duration) {
			t := time.NewTimer(d)
			defer t.Stop()
			select {
			case <-t.C:
			case <-ctx.Done():
			}
		}
	}
	o.URL = strings.TrimRight(o.URL, "/")
	return &OpenAI{o}
}

const (
	attempts  = 5
	maxAnswer = 1 << 20 // bytes
	maxPause  = 20 * time.Second
)

// Complete asks the API. Answers 429 and 5xx, and connections that break, are
// repeated, as late as the API asks for.
func (m *OpenAI) Complete(ctx context.Context, text string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, m.o.Timeout)
	defer cancel()
	body, err := json.Marshal(map[string]any{
		"model": m.o.Model, "temperature": 0,
		"messages": []map[string]string{{"role": "user", "content": text}},
	})
	if err != nil {
		return "", err
	}
	pause := 250 * time.Millisecond
	for n := 1; ; n++ {
		answer, again, wait, err := m.once(ctx, body)
		if err == nil || !again || n == attempts || ctx.Err() != nil {
			return answer, err
		}
		m.o.Pause(ctx, min(max(wait, pause), maxPause))
		pause *= 2
	}
}

// once makes one request. again says that the next may end better, wait how long
// the API asks to wait for it.
func (m *OpenAI) once(ctx context.Context, body []byte) (answer string, again bool, wait time.Duration, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, m.o.URL+"/chat/completions", bytes.NewReader(body))
	if err != nil {
		return "", false, 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	if m.o.Key != "" {
		request.Header.Set("Authorization", "Bearer "+m.o.Key)
	}
	response, err := m.o.HTTP.Do(request)
	if err != nil {
		return "", true, 0, fmt.Errorf("ask the model: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return "", true, 0, fmt.Errorf("ask the model: %w", err)
	}
	var said struct {
		Choices []struct {
			Message struct{ Content string }
		}
		Error struct{ Message string }
	}
	wrong := json.Unmarshal(data, &said)
	if s := response.StatusCode; s != http.StatusOK {
		seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
		return "", s == http.StatusTooManyRequests || s >= 500, time.Duration(seconds) * time.Second,
			fmt.Errorf("ask the model: status %d: %s", s, said.Error.Message)
	}
	if wrong != nil || len(said.Choices) == 0 {
		return "", false, 0, errors.New("ask the model: the answer is not one of chat completions")
	}
	return said.Choices[0].Message.Content, false, 0, nil
}
