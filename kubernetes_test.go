package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// A workload is what runs pods.
type workload struct {
	name     string
	kind     string
	replicas int32
	labels   map[string]string
	selects  map[string]string
	pod      corev1.PodSpec
	claims   []string
}

// kubernetes is all of deploy/kubernetes.
type kubernetes struct {
	workloads []workload
	services  []corev1.Service
	budgets   []policyv1.PodDisruptionBudget
	scalers   []autoscalingv2.HorizontalPodAutoscaler
	maps      map[string]corev1.ConfigMap
}

// readKubernetes decodes the manifests by Kubernetes' own types: a field that there is not, or twice, is an error.
func readKubernetes(t *testing.T) *kubernetes {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, appsv1.AddToScheme, policyv1.AddToScheme, autoscalingv2.AddToScheme, networkingv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	files, err := filepath.Glob("deploy/kubernetes/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no manifests: %v", err)
	}
	k := &kubernetes{maps: map[string]corev1.ConfigMap{}}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		documents := yaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(text)))
		for {
			document := make([]byte, len(text)+1)
			n, err := documents.Read(document)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			object, _, err := decoder.Decode(document[:n], nil, nil)
			if err != nil {
				t.Errorf("%s: %v", path, err)
				continue
			}
			k.add(t, path, object)
		}
	}
	return k
}

func (k *kubernetes) add(t *testing.T, path string, object runtime.Object) {
	t.Helper()
	claims := func(all []corev1.PersistentVolumeClaim) (names []string) {
		for _, c := range all {
			names = append(names, c.Name)
		}
		return names
	}
	switch o := object.(type) {
	case *appsv1.StatefulSet:
		k.workloads = append(k.workloads, workload{
			o.Name, "StatefulSet", *o.Spec.Replicas, o.Spec.Template.Labels, o.Spec.Selector.MatchLabels, o.Spec.Template.Spec, claims(o.Spec.VolumeClaimTemplates),
		})
	case *appsv1.Deployment:
		k.workloads = append(k.workloads, workload{
			o.Name, "Deployment", *o.Spec.Replicas, o.Spec.Template.Labels, o.Spec.Selector.MatchLabels, o.Spec.Template.Spec, nil,
		})
	case *corev1.Service:
		k.services = append(k.services, *o)
	case *policyv1.PodDisruptionBudget:
		k.budgets = append(k.budgets, *o)
	case *autoscalingv2.HorizontalPodAutoscaler:
		k.scalers = append(k.scalers, *o)
	case *corev1.ConfigMap:
		k.maps[o.Name] = *o
	case *networkingv1.NetworkPolicy:
	default:
		t.Errorf("%s: a %T is not looked at by this test", path, object)
	}
}

func TestKubernetesRunsEachPartTwiceAndTheLogThrice(t *testing.T) {
	k := readKubernetes(t)
	_, envs := settingsOf(t)
	got := map[string]int32{}
	for i := range k.workloads {
		w := &k.workloads[i]
		got[w.name] = w.replicas
		k.checkPod(t, w, envs)
		budgeted := slices.ContainsFunc(k.budgets, func(b policyv1.PodDisruptionBudget) bool {
			return b.Spec.Selector.MatchLabels["app"] == w.labels["app"] && b.Spec.MinAvailable.IntVal < w.replicas && b.Spec.MinAvailable.IntVal > 0
		})
		if !budgeted {
			t.Errorf("%s: no disruption budget that lets one go and keeps one", w.name)
		}
		if w.labels["app"] != w.selects["app"] {
			t.Errorf("%s selects %v, its pods are %v", w.name, w.selects, w.labels)
		}
	}
	for name, want := range map[string]int32{"gateway": 2, "ingest": 2, "dashboard": 2, "nats": 3} {
		if got[name] != want {
			t.Errorf("%s: %d pods, want %d", name, got[name], want)
		}
	}
	for _, s := range k.services {
		i := slices.IndexFunc(k.workloads, func(w workload) bool { return w.labels["app"] == s.Spec.Selector["app"] })
		if i < 0 {
			t.Errorf("service %s selects nobody", s.Name)
			continue
		}
		for _, p := range s.Spec.Ports {
			if !slices.ContainsFunc(k.workloads[i].pod.Containers[0].Ports, func(c corev1.ContainerPort) bool { return c.Name == p.TargetPort.StrVal }) {
				t.Errorf("service %s: the pod has no port %s", s.Name, p.TargetPort.StrVal)
			}
		}
	}
	if conf := k.maps["nats"].Data["nats.conf"]; !strings.Contains(conf, "sync_interval: always") || !strings.Contains(conf, "max_payload: 4MB") {
		t.Errorf("the log is not as deploy/nats/nats.conf: %s", conf)
	}
}

func (k *kubernetes) checkPod(t *testing.T, w *workload, envs map[string]bool) {
	t.Helper()
	c := &w.pod.Containers[0]
	s := w.pod.SecurityContext
	if s == nil || !*s.RunAsNonRoot || *s.RunAsUser == 0 || !*c.SecurityContext.ReadOnlyRootFilesystem || *c.SecurityContext.AllowPrivilegeEscalation {
		t.Errorf("%s: runs as root, or may become it, or may write its image", w.name)
	}
	if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
		t.Errorf("%s: no limit of memory or no request of CPU", w.name)
	}
	ports := map[string]bool{}
	for _, p := range c.Ports {
		ports[p.Name] = true
	}
	for what, probe := range map[string]*corev1.Probe{"startup": c.StartupProbe, "readiness": c.ReadinessProbe, "liveness": c.LivenessProbe} {
		if probe == nil || probe.HTTPGet == nil || !ports[probe.HTTPGet.Port.StrVal] {
			t.Errorf("%s: no %s probe at one of its ports", w.name, what)
		}
	}
	volumes := slices.Clone(w.claims)
	for _, v := range w.pod.Volumes {
		volumes = append(volumes, v.Name)
	}
	for _, m := range c.VolumeMounts {
		if !slices.Contains(volumes, m.Name) {
			t.Errorf("%s mounts %s, which there is not", w.name, m.Name)
		}
	}
	if !strings.HasPrefix(c.Image, "pilewatch:") {
		return
	}
	if _, err := parse(t, "", c.Args...); err != nil {
		t.Errorf("%s: pilewatch %q: %v", w.name, c.Args, err)
	}
	for _, from := range c.EnvFrom {
		for key := range k.maps[from.ConfigMapRef.Name].Data {
			if !envs[key] {
				t.Errorf("%s: there is no setting %s", w.name, key)
			}
		}
	}
}

func TestKubernetesScalesByMetricsThatAreThere(t *testing.T) {
	k := readKubernetes(t)
	source, err := exec.CommandContext(t.Context(), "grep", "-rhoE", `Name: "[a-z_]+"`, "gateway", "ingest", "dashboard", "--include=*.go").Output()
	if err != nil {
		t.Fatal(err)
	}
	byBacklog := false
	for _, h := range k.scalers {
		i := slices.IndexFunc(k.workloads, func(w workload) bool {
			return w.name == h.Spec.ScaleTargetRef.Name && w.kind == h.Spec.ScaleTargetRef.Kind
		})
		if i < 0 {
			t.Errorf("%s scales %s %s, which there is not", h.Name, h.Spec.ScaleTargetRef.Kind, h.Spec.ScaleTargetRef.Name)
			continue
		}
		if *h.Spec.MinReplicas < k.workloads[i].replicas || h.Spec.MaxReplicas <= *h.Spec.MinReplicas {
			t.Errorf("%s scales from %d to %d, and %d are there", h.Name, *h.Spec.MinReplicas, h.Spec.MaxReplicas, k.workloads[i].replicas)
		}
		for _, m := range h.Spec.Metrics {
			name := ""
			switch {
			case m.External != nil:
				name = m.External.Metric.Name
				byBacklog = byBacklog || h.Name == "ingest" && strings.Contains(name, "backlog")
			case m.Pods != nil:
				name = m.Pods.Metric.Name
			default:
				continue
			}
			if !strings.Contains(string(source), `"`+name+`"`) {
				t.Errorf("%s scales by %s, which nobody counts", h.Name, name)
			}
		}
	}
	if !byBacklog {
		t.Error("nothing scales ingest by what waits for it")
	}
}
