package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v4"
)

// A settingsFile is the YAML file of --config: flags by name, for every command that has them, or
// under a command's name for that one alone.
//
//	data: /var/lib/pilewatch
//	gateway:
//	  mqtt: 0.0.0.0:1883
//
// A flag on the command line and an environment variable go before it. A name that no command has
// is an error, so that a misspelt one does not vanish.
type settingsFile map[string]any

// loadSettings reads a settings file; kong calls it.
func loadSettings(r io.Reader) (kong.Resolver, error) {
	s := map[string]any{}
	if err := yaml.NewDecoder(r).Decode(&s); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	return settingsFile(s), nil
}

// Validate refuses names that no command has.
func (s settingsFile) Validate(app *kong.Application) error {
	all := flagNames(app.Node)
	commands := map[string]map[string]bool{}
	for _, command := range app.Children {
		commands[command.Name] = flagNames(command)
		maps.Copy(all, commands[command.Name])
	}
	for _, name := range slices.Sorted(maps.Keys(s)) {
		inner, nested := s[name].(map[string]any)
		switch flags, command := commands[name]; {
		case nested && !command && all[name]:
			return fmt.Errorf("settings file: %s is a setting, not a command: it takes one value", name)
		case nested && command:
			for _, key := range slices.Sorted(maps.Keys(inner)) {
				if !flags[key] {
					return fmt.Errorf("settings file: %s has no setting %q; pilewatch %s --help lists them", name, key, name)
				}
			}
		case !all[name]:
			return fmt.Errorf("settings file: no command has a setting %q", name)
		}
	}
	return nil
}

// flagNames are the flags of a command and of those below it.
func flagNames(n *kong.Node) map[string]bool {
	names := map[string]bool{}
	for _, f := range n.Flags {
		names[f.Name] = true
	}
	for _, child := range n.Children {
		if n.Type != kong.ApplicationNode {
			maps.Copy(names, flagNames(child))
		}
	}
	return names
}

// Resolve gives a flag's value, the one under its command's name before the common one.
func (s settingsFile) Resolve(_ *kong.Context, parent *kong.Path, flag *kong.Flag) (any, error) {
	for _, env := range flag.Envs {
		if _, set := os.LookupEnv(env); set {
			return nil, nil //nolint:nilnil // kong's word for "not here"
		}
	}
	for n := parent.Node(); n != nil; n = n.Parent {
		if inner, ok := s[n.Name].(map[string]any); ok && n.Type == kong.CommandNode && inner[flag.Name] != nil { // nothing behind the colon is not set
			return settingText(inner[flag.Name]), nil
		}
	}
	if value, ok := s[flag.Name]; ok && value != nil {
		if _, nested := value.(map[string]any); !nested {
			return settingText(value), nil
		}
	}
	return nil, nil //nolint:nilnil // see above
}

// settingText writes a value as it would stand on the command line; kong reads lists by itself.
func settingText(value any) any {
	if list, ok := value.([]any); ok {
		return list
	}
	return fmt.Sprint(value)
}
