// Package systemcmd has the commands for system files: check, up, init, registry,
// run and ask. A program with constructors of its own gets them with Main, or as
// a command among others with New.
package systemcmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/pando-agents/pando/system"
)

// New returns the command "system", with the others below it, for files that name
// constructors of the catalogue. The commands print results to the command's
// stdout and what happens to its stderr, or with --json all of it to stdout. They
// end when their context does.
func New(c *system.Catalogue) *cobra.Command {
	r := &runner{catalogue: c}
	root := &cobra.Command{
		Use: "system", Short: "Run systems of agents that a file describes",
		Long: "Run systems of agents that a YAML file describes: in one process, in a process for each agent, or agent by agent\n" +
			"on many machines.",
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("system needs a command")
			}
			return fmt.Errorf("unknown command %q for system", args[0])
		},
	}
	root.AddCommand(r.check(), r.up(), r.prepare(), r.registry(), r.run(), r.ask())
	return root
}

// Main is a whole program: it runs the command line of the process and returns its
// exit code: 0 when what was asked for was done, else 1, with the reason on stderr.
//
//	func main() { os.Exit(systemcmd.Main(catalogue)) }
func Main(c *system.Catalogue) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	root := New(c)
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.HiddenDefaultCmd = true
	if err := root.ExecuteContext(ctx); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, strings.TrimSpace(err.Error()))
		return 1
	}
	return 0
}

// runner makes the commands.
type runner struct{ catalogue *system.Catalogue }

// common is what most commands can be told.
type common struct {
	json, verbose bool
	dir           string
}

func (f *common) register(c *cobra.Command) {
	c.Flags().BoolVar(&f.json, "json", false, "print what happens as JSON, an object on each line")
	c.Flags().BoolVar(&f.verbose, "verbose", false, "show the log of the agents on stderr")
}

func (f *common) needDir(c *cobra.Command) {
	c.Flags().StringVar(&f.dir, "dir", "", "directory with the credentials of the system")
	_ = c.MarkFlagRequired("dir")
}

// options sets up where the commands report to.
func (f *common) options(c *cobra.Command) system.Options {
	level := slog.LevelError + 4 // what breaks is told as an event
	if f.verbose {
		level = slog.LevelInfo
	}
	if given := c.Flag("log-level"); given != nil && given.Changed { // of a program around these commands
		_ = level.UnmarshalText([]byte(given.Value.String()))
	}
	o := system.Options{Logger: slog.New(slog.NewTextHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: level}))}
	if f.json {
		o.Report = func(e system.Event) { printJSON(c.OutOrStdout(), e) }
	} else {
		o.Report = newPage(c.ErrOrStderr()).event
	}
	return o
}

func printJSON(w io.Writer, v any) { _ = json.NewEncoder(w).Encode(v) }

// load reads a file. What is wrong with it goes to stderr, a problem on each line.
func (r *runner) load(c *cobra.Command, path string) (*system.File, error) {
	file, err := system.Load(path, r.catalogue)
	var problems system.Problems
	if errors.As(err, &problems) {
		_, _ = fmt.Fprintln(c.ErrOrStderr(), problems)
		return nil, fmt.Errorf("%s has %s", path, count(len(problems), "problem"))
	}
	return file, err
}

func (r *runner) check() *cobra.Command {
	var f common
	c := &cobra.Command{
		Use: "check FILE", Short: "Say what is wrong with a system file", Args: cobra.ExactArgs(1),
		Long: "Say what is wrong with a system file, with line and column: names, constructors and their configuration,\n" +
			"addresses, permissions, endpoints. Nothing is started.",
		Example: "  pando system check system.yaml",
	}
	c.Flags().BoolVar(&f.json, "json", false, "print the problems as a JSON array")
	c.RunE = func(c *cobra.Command, args []string) error {
		file, err := system.Load(args[0], r.catalogue)
		var problems system.Problems
		if err != nil && !errors.As(err, &problems) {
			return err
		}
		if f.json {
			if problems == nil {
				problems = system.Problems{}
			}
			printJSON(c.OutOrStdout(), problems)
		}
		if len(problems) > 0 {
			if !f.json {
				_, _ = fmt.Fprintln(c.OutOrStdout(), problems)
			}
			return fmt.Errorf("%s has %s", args[0], count(len(problems), "problem"))
		}
		if !f.json {
			_, _ = fmt.Fprintf(c.OutOrStdout(), "%s: system %s, %s: no problems\n", args[0], file.Name, count(len(file.Agents), "agent"))
		}
		return nil
	}
	return c
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (r *runner) up() *cobra.Command {
	var f common
	var o system.UpOptions
	var timeout time.Duration
	c := &cobra.Command{
		Use: "up FILE", Short: "Run a whole system on this machine", Args: cobra.ExactArgs(1),
		Long: "Run all agents of a system on this machine, in one process or in a process for each, with an identity\n" +
			"registry of their own unless the file names one, until SIGINT or SIGTERM; then they finish what they have\n" +
			"begun. With --ask, put a question, print the answer and end.",
		Example: "  pando system up system.yaml\n  pando system up system.yaml --processes --ask 'How do aspens spread?' --kill all",
	}
	f.register(c)
	c.Flags().StringVar(&o.Dir, "dir", "", "directory that keeps credentials and registry (default: nothing is kept)")
	c.Flags().BoolVar(&o.Processes, "processes", false, "run each agent in a process of its own")
	c.Flags().StringVar(&o.Ask, "ask", "", "put this question to the actor that the file names, and end with the answer")
	c.Flags().DurationVar(&timeout, "timeout", 5*time.Minute, "how long to wait for the answer")
	c.Flags().StringSliceVar(&o.Kill, "kill", nil, "kill these agents (or all but the one that is asked) when they are at work, once each")
	c.RunE = func(c *cobra.Command, args []string) error {
		file, err := r.load(c, args[0])
		if err != nil {
			return err
		}
		o.Options = f.options(c)
		if o.Self, err = self(c); err != nil {
			return err
		}
		if len(o.Kill) == 1 && o.Kill[0] == "all" {
			o.Kill = nil
			for _, a := range file.Agents {
				if a.Name != file.Ask.Agent {
					o.Kill = append(o.Kill, a.Name)
				}
			}
		}
		ctx := c.Context()
		if o.Ask != "" {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, timeout)
			defer cancel()
		}
		answer, err := system.Up(ctx, file, o)
		if err != nil || o.Ask == "" {
			return err
		}
		f.answer(c, file, answer)
		return nil
	}
	return c
}

// self is how this program is told to do what belongs to "system".
func self(c *cobra.Command) ([]string, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	var path []string
	for p := c.Parent(); p != nil && p.HasParent(); p = p.Parent() {
		path = append([]string{p.Name()}, path...)
	}
	return append([]string{program}, path...), nil
}

func (f *common) answer(c *cobra.Command, file *system.File, answer string) {
	if f.json {
		printJSON(c.OutOrStdout(), system.Event{
			Time: time.Now(), Kind: system.EventAnswer, Agent: file.Ask.Agent, Actor: file.Ask.Actor, Text: answer,
		})
		return
	}
	_, _ = fmt.Fprintln(c.OutOrStdout(), strings.TrimRight(answer, "\n"))
}

func (r *runner) prepare() *cobra.Command {
	var f common
	c := &cobra.Command{
		Use: "init FILE --dir DIR", Short: "Register the agents of a system that are to run apart", Args: cobra.ExactArgs(1),
		Long: "Register the agents of a system, set their permissions as the file says, and write a file with credentials for\n" +
			"each, which only its owner can read. What is there is kept. An agent on another machine needs the system file,\n" +
			"and of the directory system.json, ca.pem and its own .env file.",
		Example: "  pando system init system.yaml --dir team",
	}
	f.needDir(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		file, err := r.load(c, args[0])
		if err != nil {
			return err
		}
		if err := system.Prepare(c.Context(), file, f.dir, f.options(c)); err != nil {
			return err
		}
		out := c.OutOrStdout()
		_, _ = fmt.Fprintf(out, "%s: the agents of system %s are registered\n", f.dir, file.Name)
		if file.Registry.URL == "" {
			_, _ = fmt.Fprintf(out, "next: %s registry %s --dir %s\n", c.Parent().CommandPath(), args[0], f.dir)
		}
		for _, a := range file.Agents {
			_, _ = fmt.Fprintf(out, "next: %s run %s --agent %s --dir %s\n", c.Parent().CommandPath(), args[0], a.Name, f.dir)
		}
		return nil
	}
	return c
}

func (r *runner) registry() *cobra.Command {
	var f common
	c := &cobra.Command{
		Use: "registry FILE --dir DIR", Short: "Run the identity registry of a system", Args: cobra.ExactArgs(1),
		Long:    "Run the identity registry of a system whose agents run apart, until SIGINT or SIGTERM. Its data is in the directory.",
		Example: "  pando system registry system.yaml --dir team",
	}
	f.register(c)
	f.needDir(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		file, err := r.load(c, args[0])
		if err != nil {
			return err
		}
		return system.ServeRegistry(c.Context(), file, f.dir, f.options(c))
	}
	return c
}

func (r *runner) run() *cobra.Command {
	var f common
	var agent string
	c := &cobra.Command{
		Use: "run FILE --agent NAME --dir DIR", Short: "Run one agent of a system", Args: cobra.ExactArgs(1),
		Long: "Run one agent of a system in this process, with what 'init' has written into the directory, until SIGINT or\n" +
			"SIGTERM; then it finishes what it has begun.",
		Example: "  pando system run system.yaml --agent planner --dir team",
	}
	f.register(c)
	f.needDir(c)
	c.Flags().StringVar(&agent, "agent", "", "name of the agent in the file")
	_ = c.MarkFlagRequired("agent")
	c.RunE = func(c *cobra.Command, args []string) error {
		file, err := r.load(c, args[0])
		if err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(c.Context())
		defer cancel()
		if os.Getenv(system.EnvParent) != "" {
			go func() {
				_, _ = io.Copy(io.Discard, os.Stdin)
				cancel() // the process that has started this one is gone
			}()
		}
		return system.Run(ctx, file, f.dir, agent, f.options(c))
	}
	return c
}

func (r *runner) ask() *cobra.Command {
	var f common
	var timeout time.Duration
	c := &cobra.Command{
		Use: "ask FILE QUESTION --dir DIR", Short: "Put a question to a system that runs", Args: cobra.ExactArgs(2),
		Long:    "Put a question to the actor that the file names under \"ask\", of a system whose agents run apart.",
		Example: "  pando system ask system.yaml 'How do aspens spread?' --dir team",
	}
	f.register(c)
	f.needDir(c)
	c.Flags().DurationVar(&timeout, "timeout", 5*time.Minute, "how long to wait for the answer")
	c.RunE = func(c *cobra.Command, args []string) error {
		file, err := r.load(c, args[0])
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(c.Context(), timeout)
		defer cancel()
		answer, err := system.Ask(ctx, file, f.dir, args[1], f.options(c))
		if err != nil {
			return err
		}
		f.answer(c, file, answer)
		return nil
	}
	return c
}
