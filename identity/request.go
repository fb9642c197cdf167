package identity

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	maxAttempts = 3
	firstWait   = 100 * time.Millisecond
	maxWait     = 2 * time.Second
	maxAnswer   = 1 << 20
	maxDetail   = 200
)

// request is one call to the identity registry.
type request struct {
	op, method, path string
	query            url.Values
	repeatable       bool // may be sent again although it may have been carried out
	// prepare is run for every attempt: a proof can be used only once.
	prepare func(h http.Header) (body any, err error)
}

// url returns the address of a path below the registry's URL, which may have a path itself.
func (c *Client) url(path string) string {
	u := *c.base
	u.Path = strings.TrimSuffix(u.Path, "/") + path
	u.RawPath = ""
	return u.String()
}

// do sends the request until it is answered or there is no sense in going on,
// and decodes the answer into out.
func (c *Client) do(ctx context.Context, r request, out any) error {
	ctx, stop := c.withTimeout(ctx, c.o.Timeout)
	defer stop()
	for attempt := 1; ; attempt++ {
		err := c.attempt(ctx, r, out)
		if err == nil {
			return nil
		}
		wait := c.backoff(attempt)
		var e *Error
		if errors.As(err, &e) {
			wait = max(wait, e.RetryAfter)
		}
		if attempt == maxAttempts || ctx.Err() != nil || wait > maxWait || !shouldRepeat(r, err) {
			return err
		}
		c.o.Logger.Debug("identity registry asked again", "op", r.op, "attempt", attempt, "err", err)
		if !c.sleep(ctx, wait) {
			return err
		}
	}
}

// backoff is exponential with full jitter.
func (c *Client) backoff(attempt int) time.Duration {
	return time.Duration(c.o.Rand() * float64(min(maxWait, firstWait<<(attempt-1))))
}

func (c *Client) sleep(ctx context.Context, d time.Duration) bool {
	woken := make(chan struct{})
	stop := c.o.AfterFunc(d, func() { close(woken) })
	defer stop()
	select {
	case <-ctx.Done():
		return false
	case <-woken:
		return true
	}
}

func shouldRepeat(r request, err error) bool {
	var cert *tls.CertificateVerificationError
	var network *net.OpError
	var e *Error
	switch {
	case errors.As(err, &cert):
		return false
	case errors.Is(err, ErrRateLimited):
		return true // refused before anything was done
	case errors.As(err, &network) && network.Op == "dial":
		return true // never sent
	case !r.repeatable || !errors.As(err, &e) || e.Code != ErrUnavailable.Code:
		return false
	default:
		return e.Status == 0 || e.Status == 502 || e.Status == 503 || e.Status == 504
	}
}

func (c *Client) attempt(ctx context.Context, r request, out any) error {
	// Leave time for another attempt when this one hangs.
	ctx, stop := c.withTimeout(ctx, c.o.Timeout*5/8)
	defer stop()
	header := http.Header{"Accept": {"application/json"}}
	body, err := r.prepare(header)
	if err != nil {
		return err
	}
	var payload io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return fail(ErrInvalidRequest, r.op, "%w", err)
		}
		payload = bytes.NewReader(text)
		header.Set("Content-Type", "application/json")
	}
	target := c.url(r.path)
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, payload)
	if err != nil {
		return fail(ErrInvalidRequest, r.op, "%w", err)
	}
	req.Header = header
	resp, err := c.http.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return fail(ErrUnavailable, r.op, "%w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return fail(ErrUnavailable, r.op, "read answer: %w", err)
	}
	if len(text) > maxAnswer {
		return fail(ErrBadResponse, r.op, "answer longer than %d bytes", maxAnswer)
	}
	if resp.StatusCode != http.StatusOK {
		return c.statusError(r.op, resp, text)
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fail(ErrBadResponse, r.op, "answer is not the JSON expected")
	}
	return nil
}

func (c *Client) statusError(op string, resp *http.Response, text []byte) *Error {
	kind := ErrBadResponse
	switch s := resp.StatusCode; {
	case s == 400 || s == 401 || s == 403:
		kind = ErrRefused
	case s == 404:
		kind = ErrNotFound
	case s == 422:
		kind = ErrInvalidRequest
	case s == 429:
		kind = ErrRateLimited
	case s >= 500:
		kind = ErrUnavailable
	}
	return &Error{
		Code: kind.Code, Op: op, Status: resp.StatusCode,
		RetryAfter: retryAfter(resp.Header.Get("Retry-After"), c.o.Now()), Err: errors.New(detail(text)),
	}
}

func retryAfter(value string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(value); err == nil {
		return max(0, t.Sub(now))
	}
	return 0
}

// detail returns what the registry says about an error: a text, or the
// messages of a list of validation errors. The list's "input" members may be
// secrets sent back and are left out.
func detail(text []byte) string {
	var answer struct {
		Detail json.RawMessage `json:"detail"`
	}
	var list []struct {
		Msg string `json:"msg"`
	}
	var s string
	if json.Unmarshal(text, &answer) != nil {
		return "no detail given"
	}
	if json.Unmarshal(answer.Detail, &s) != nil && json.Unmarshal(answer.Detail, &list) == nil {
		for i, m := range list {
			if i > 0 {
				s += "; "
			}
			s += m.Msg
		}
	}
	if s == "" {
		return "no detail given"
	}
	if len(s) > maxDetail {
		s = s[:maxDetail]
	}
	return fmt.Sprintf("%q", s)
}
