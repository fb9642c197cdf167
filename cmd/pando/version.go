package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func (a *app) version() *cobra.Command {
	c := &cobra.Command{
		Use: "version", Short: "Print the version of this program", Args: cobra.NoArgs,
		Example: "  pando version --json",
	}
	asJSON := c.Flags().Bool("json", false, "print a JSON object")
	return a.does(c, func(*cobra.Command, []string) error {
		version, revision := "unknown", ""
		if info, ok := debug.ReadBuildInfo(); ok {
			version = info.Main.Version
			for _, s := range info.Settings {
				if s.Key == "vcs.revision" {
					revision = s.Value
				}
			}
		}
		platform := runtime.GOOS + "/" + runtime.GOARCH
		if *asJSON {
			return a.sayJSON(map[string]string{
				"version": version, "revision": revision, "go": runtime.Version(), "platform": platform,
			})
		}
		a.say("pando %s (%s, %s)", version, runtime.Version(), platform)
		return nil
	})
}
