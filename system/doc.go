// Package system runs systems of agents that a YAML file describes: which agents
// there are, which actors each has, who may talk to whom, and where each is
// reached. The same file runs in one process, as a process for each agent, or
// agent by agent on many machines; no code knows which.
//
// A program registers constructors of actors in a Catalogue, under stable names
// that files use. Load reads a file and says what is wrong with it, by line and
// column. Up runs a whole system on this machine; Prepare registers its agents
// once and Run runs one of them. The commands for all of this are in package
// system/systemcmd.
//
// docs/system.md describes the file.
package system
