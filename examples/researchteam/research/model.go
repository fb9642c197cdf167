package research

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"
)

// Model turns a prompt into a text: a language model, or what stands in for one.
// It is safe for concurrent use, and returns soon after ctx has ended.
type Model interface {
	Complete(ctx context.Context, prompt string) (string, error)
}

// ModelConfig says in the system file which model an actor uses.
type ModelConfig struct {
	// Kind is "rules", the default, or "openai".
	Kind string `yaml:"kind"`
	// URL is the base of an OpenAI-compatible API, such as
	// https://api.openai.com/v1; Name is the model's name there.
	URL  string `yaml:"url"`
	Name string `yaml:"name"`
	// KeyEnv is the variable of the environment that holds the key; empty: none.
	KeyEnv string `yaml:"key_env"`
	// Timeout is for one prompt, with repetitions; default 1 minute.
	Timeout time.Duration `yaml:"timeout"`
}

// Validate says what is wrong with it.
func (c *ModelConfig) Validate() error {
	switch c.Kind {
	case "", "rules":
		if c.URL != "" || c.Name != "" || c.KeyEnv != "" {
			return fmt.Errorf("rules need no url, name or key: set kind: openai")
		}
		return nil
	case "openai":
	default:
		return fmt.Errorf("the kind of a model is rules or openai, not %q", c.Kind)
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("a model of kind openai has the url of an API, such as https://api.openai.com/v1")
	}
	if host := u.Hostname(); u.Scheme == "http" && c.KeyEnv != "" && host != "localhost" && host != "127.0.0.1" && host != "::1" {
		return fmt.Errorf("the key would go over http, for everybody to read: use https")
	}
	if c.Name == "" || c.Timeout < 0 {
		return fmt.Errorf("a model of kind openai has a name, and a timeout that is not negative")
	}
	return nil
}

// model makes the model.
func (c *ModelConfig) model() (Model, error) {
	if c.Kind != "openai" {
		return Rules{}, nil
	}
	key := ""
	if c.KeyEnv != "" {
		if key = os.Getenv(c.KeyEnv); key == "" {
			return nil, fmt.Errorf("the model's key is to be in %s, which is not set", c.KeyEnv)
		}
	}
	return NewOpenAI(OpenAIOptions{URL: c.URL, Model: c.Name, Key: key, Timeout: c.Timeout}), nil
}

// The tasks of prompts.
const (
	taskPlan    = "plan"
	taskExtract = "extract"
	taskReview  = "review"
	taskWrite   = "write"
)

// instructions say to a real model what to do. Rules know it.
var instructions = map[string]string{
	taskPlan:    "Split the question into the parts that have to be researched. Write one part on each line and nothing else.",
	taskExtract: "Copy the lines that answer the question, word for word, one on each line, and nothing else.",
	taskReview:  "Does the line answer the question? Write supported or unsupported and nothing else.",
	taskWrite:   "Write a short report that answers the question from the lines and from nothing else. Keep the [names] of sources.",
}

// prompt is what the actors ask models.
type prompt struct {
	task, question string
	lines          []string
}

// String is the prompt as models get it.
func (p prompt) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Task: %s\n%s\nQuestion: %s\n", p.task, instructions[p.task], p.question)
	for _, l := range p.lines {
		fmt.Fprintf(&b, "- %s\n", l)
	}
	return b.String()
}

// answered are the lines of an answer, without the marks that models like to set.
func answered(text string) []string {
	var lines []string
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(l), "- ")); l != "" {
			lines = append(lines, l)
		}
	}
	return lines
}
