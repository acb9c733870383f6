package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// loadCompose reads docker-compose.yml by the library that docker compose itself uses, with all profiles.
func loadCompose(t *testing.T) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{"docker-compose.yml"}, cli.WithProfiles([]string{"*"}))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func TestComposeStartsByHealthWithLimitsAndWithoutSecretsOfItsOwn(t *testing.T) {
	project := loadCompose(t)
	want := []string{
		"alertmanager", "dashboard", "gateway", "grafana", "influxdb", "ingest", "mosquitto", "nats", "postgres", "prometheus", "simulator",
	}
	if got := project.ServiceNames(); !slices.Equal(got, want) {
		t.Errorf("services: got %v, want %v", got, want)
	}
	pinned := regexp.MustCompile(`:v?\d+\.\d+(\.\d+)?(-[a-z]+)?$`)
	for name, s := range project.Services {
		if s.HealthCheck == nil || len(s.HealthCheck.Test) == 0 {
			t.Errorf("%s: no health check", name)
		}
		if s.MemLimit == 0 || s.Restart == "" {
			t.Errorf("%s: no limit of memory, or no restart", name)
		}
		if s.Build == nil && !pinned.MatchString(s.Image) {
			t.Errorf("%s: image %s is not one version", name, s.Image)
		}
		if s.Build != nil && (s.Build.Args["VERSION"] == nil || !s.ReadOnly || !slices.Contains(s.CapDrop, "ALL")) {
			t.Errorf("%s: no version, a root that can be written, or capabilities", name)
		}
		for other, d := range s.DependsOn {
			if d.Condition != types.ServiceConditionHealthy {
				t.Errorf("%s: starts when %s is %s, want healthy", name, other, d.Condition)
			}
		}
		for _, p := range s.Ports {
			if p.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %s is published on %q, want loopback", name, p.Published, p.HostIP)
			}
		}
		for key, value := range s.Environment {
			if secret := regexp.MustCompile(`PASSWORD|TOKEN|SECRET`); secret.MatchString(key) && !strings.HasPrefix(*value, "/run/secrets/") {
				t.Errorf("%s: %s holds a secret of its own", name, key)
			}
		}
		for _, v := range s.Volumes {
			if v.Type != types.VolumeTypeBind {
				continue
			}
			if _, err := os.Stat(v.Source); err != nil {
				t.Errorf("%s mounts what is not there: %v", name, err)
			}
		}
	}
}

func TestSecretsAreMadeOnceForCompose(t *testing.T) {
	dir := t.TempDir()
	makeSecrets := func() string {
		out, err := exec.CommandContext(t.Context(), "sh", "deploy/secrets.sh", dir).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	makeSecrets()
	seen := map[string]bool{}
	for name, s := range loadCompose(t).Secrets {
		text, err := os.ReadFile(filepath.Join(dir, filepath.Base(s.File)))
		if err != nil || len(text) < 32 || seen[string(text)] {
			t.Errorf("%s: %d bytes, used twice: %v: %v", name, len(text), seen[string(text)], err)
		}
		seen[string(text)] = true
	}
	if again := makeSecrets(); again != "" {
		t.Errorf("a second start makes secrets anew: %s", again)
	}
}

func TestComposeAndDocumentsNameOnlySettingsThatExist(t *testing.T) {
	flags, envs := settingsOf(t)
	for name, s := range loadCompose(t).Services {
		if s.Build == nil {
			continue
		}
		if _, err := parse(t, "", s.Command...); err != nil {
			t.Errorf("%s: pilewatch %q: %v", name, []string(s.Command), err)
		}
		if test := s.HealthCheck.Test; test[1] != "/pilewatch" {
			t.Errorf("%s: health check %q, the image has /pilewatch only", name, test)
		} else if _, err := parse(t, "", test[2:]...); err != nil {
			t.Errorf("%s: pilewatch %q: %v", name, test[2:], err)
		}
		for key := range s.Environment {
			if !envs[key] {
				t.Errorf("%s: there is no setting %s", name, key)
			}
		}
	}
	documents, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	playbooks, err := filepath.Glob("docs/playbooks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("(?:^|[\\s`(])--([a-z][a-z-]+)")
	for _, path := range slices.Concat(documents, playbooks, []string{"README.md", "README.zh.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"}) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, found := range named.FindAllStringSubmatch(string(text), -1) {
			if !flags[found[1]] && !slices.Contains(flagsOfOthers, found[1]) {
				t.Errorf("%s: there is no flag --%s", path, found[1])
			}
		}
	}
}

// flagsOfOthers are those of other programs that the documents name.
var flagsOfOthers = []string{"tail", "format", "max-bytes", "build", "profile", "version", "help", "cafile"}

// settingsOf lists the program's flags and environment variables.
func settingsOf(t *testing.T) (flags, envs map[string]bool) {
	t.Helper()
	parser, err := kong.New(&CLI{}, kong.Configuration(loadSettings), kong.Vars{"version": "test"})
	if err != nil {
		t.Fatal(err)
	}
	flags, envs = map[string]bool{}, map[string]bool{}
	var walk func(n *kong.Node)
	walk = func(n *kong.Node) {
		for _, f := range n.Flags {
			flags[f.Name], flags["no-"+f.Name] = true, true
			for _, e := range f.Envs {
				envs[e] = true
			}
		}
		for _, child := range n.Children {
			walk(child)
		}
	}
	walk(parser.Model.Node)
	return flags, envs
}
