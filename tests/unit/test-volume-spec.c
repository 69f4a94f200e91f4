#include "kubelet/volume-spec.h"

#include <errno.h>

#include "base/text.h"
#include "kubelet/pod.h"
#include "tests/check.h"
#include "tests/unit/pod-fixture.h"

#define CLAIM                                                                                  \
        "{'metadata':{'name':'data','namespace':'ns','uid':'c1'},'spec':{'volumeName':'pv1'}," \
        "'status':{'phase':'Bound'}}"

static struct volume_spec *spec_of(const char *pv_spec, const char *metadata)
{
        _cleanup_err_ struct err err = { 0 };
        _cleanup_free_ char *text =
                text_printf("{'metadata':{'name':'pv1'%s},'spec':{'claimRef':{'uid':'c1'},%s}}",
                            metadata, pv_spec);
        json_auto_t *pv = json_of(text), *claim = json_of(CLAIM);
        struct volume_spec *s = NULL;

        if (volume_spec_from_pv(pv, claim, true, &s, &err) < 0)
                fail_msg("%s", err_text(&err));
        return s;
}

/* The sentence of a refusal. */
static const char *refusal_of(const char *pv_text)
{
        static char sentence[300];
        _cleanup_err_ struct err err = { 0 };
        json_auto_t *pv = json_of(pv_text), *claim = json_of(CLAIM);
        struct volume_spec *s = NULL;

        CHECK_INT(volume_spec_from_pv(pv, claim, false, &s, &err), -EINVAL);
        CHECK(!s);
        snprintf(sentence, sizeof sentence, "%s", err_text(&err));
        return sentence;
}

TEST(a_local_volume_says_where_it_is_and_who_may_have_it)
{
        _cleanup_(volume_spec_freep)
        struct volume_spec *s = spec_of("'local':{'path':'/mnt/a'},'accessModes':['ReadWriteOnce'],"
                                        "'mountOptions':['noatime'],'capacity':{'storage':'1Gi'}",
                                        "");

        CHECK_INT(s->kind, VOLUME_SPEC_LOCAL);
        CHECK_STR(s->name, "pv1");
        CHECK_STR(s->claim_namespace, "ns");
        CHECK_STR(s->claim_name, "data");
        CHECK_STR(s->path, "/mnt/a");
        CHECK(!s->fs_type && !s->is_block && s->read_only);
        CHECK_STR(s->access_modes[0], "ReadWriteOnce");
        CHECK_STR(s->mount_options[0], "noatime");
        CHECK_INT(s->gid, -1);
        CHECK(!volume_spec_is_for_one_pod(s));
}

TEST(mount_options_of_the_annotation_win_and_a_group_is_read)
{
        _cleanup_(volume_spec_freep)
        struct volume_spec *s = spec_of(
                "'nfs':{'server':'fd00::1','path':'/x'},'mountOptions':['soft'],"
                "'accessModes':['ReadWriteOncePod'],'volumeMode':'Block'",
                ",'annotations':{'volume.beta.kubernetes.io/mount-options':'hard,nfsvers=4',"
                "'pv.beta.kubernetes.io/gid':'1234'}");

        CHECK_INT(s->kind, VOLUME_SPEC_NFS);
        CHECK_INT(strv_len(s->mount_options), 2);
        CHECK_STR(s->mount_options[1], "nfsvers=4");
        CHECK_INT(s->gid, 1234);
        CHECK(s->is_block && volume_spec_is_for_one_pod(s));
}

TEST(a_csi_source_is_read_with_its_secrets)
{
        _cleanup_(volume_spec_freep)
        struct volume_spec *s = spec_of(
                "'csi':{'driver':'D.Example','volumeHandle':'h','fsType':'xfs','readOnly':true,"
                "'volumeAttributes':{'a':'b'},'nodeStageSecretRef':{'name':'s','namespace':'n'}}",
                "");

        CHECK_INT(s->kind, VOLUME_SPEC_CSI);
        CHECK_STR(s->csi.driver, "D.Example");
        CHECK_STR(s->csi.handle, "h");
        CHECK_STR(s->fs_type, "xfs");
        CHECK(s->csi.source_read_only);
        CHECK_STR(string_map_get(&s->csi.attributes, "a"), "b");
        CHECK_STR(s->csi.stage_secret.namespace, "n");
        CHECK(!s->csi.publish_secret.name);
}

TEST(a_kind_without_a_driver_keeps_its_name)
{
        _cleanup_(volume_spec_freep)
        struct volume_spec *s = spec_of("'capacity':{},'iscsi':{'targetPortal':'x'}", "");

        CHECK_INT(s->kind, VOLUME_SPEC_UNSUPPORTED);
        CHECK_STR(s->unsupported, "iscsi");
}

TEST(a_volume_of_another_claim_is_refused)
{
        CHECK_STR(refusal_of("{'metadata':{'name':'pv1'},'spec':{'local':{'path':'/a'}}}"),
                  "found PV object pv1 but it has a nil pv.Spec.ClaimRef indicating it is not yet "
                  "bound to the claim");
        CHECK_STR(refusal_of("{'metadata':{'name':'pv1'},'spec':{'claimRef':{'uid':'c2'},"
                             "'local':{'path':'/a'}}}"),
                  "found PV object pv1 but its pv.Spec.ClaimRef.UID c2 does not point to claim.UID "
                  "c1");
}

TEST(what_cannot_be_a_mount_is_refused_by_the_path_of_its_field)
{
        static const char *const cases[][2] = {
                { "{'metadata':{'name':'../x'},'spec':{}}", "metadata: name: '../x': expected" },
                { "{'metadata':{'name':'pv1'},'spec':{'claimRef':{'uid':'c1'},'nfs':"
                  "{'server':'-o x','path':'/'}}}",
                  "PV pv1: server: '-o x': expected a host name" },
                { "{'metadata':{'name':'pv1'},'spec':{'claimRef':{'uid':'c1'},'nfs':"
                  "{'server':'a','path':'x'}}}",
                  "PV pv1: path: 'x': expected an absolute path" },
                { "{'metadata':{'name':'pv1'},'spec':{'claimRef':{'uid':'c1'},'csi':"
                  "{'driver':'a'}}}",
                  "PV pv1: volumeHandle: required" },
                { "{'metadata':{'name':'pv1'},'spec':{'claimRef':{'uid':'c1'},'csi':"
                  "{'driver':'a/../b','volumeHandle':'h'}}}",
                  "spec: csi: driver: 'a/../b': expected" },
                { "{'metadata':{'name':'pv1'},'spec':{'claimRef':{'uid':'c1'},'volumeMode':'x',"
                  "'local':{'path':'/a'}}}",
                  "spec: volumeMode: " },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                CHECK(startswith(refusal_of(cases[i][0]), cases[i][1]));
}

static const char *claim_refusal(const char *claim_text, const char *volume)
{
        static char sentence[300];
        _cleanup_free_ char *spec =
                text_printf("{'containers':[{'name':'c','image':'i'}],'volumes':[{'name':'v',%s}]}",
                            volume);
        _cleanup_(pod_unrefp)
        struct pod *pod = pod_of(spec, NULL);
        json_auto_t *claim = json_of(claim_text);
        _cleanup_err_ struct err err = { 0 };
        int r = claim_check(claim, pod, &pod->volumes[0], &err);

        CHECK(r == 0 || r == -EAGAIN);
        snprintf(sentence, sizeof sentence, "%s", r < 0 ? err_text(&err) : "");
        return sentence;
}

#define BY_NAME "'persistentVolumeClaim':{'claimName':'data'}"
TEST(a_claim_must_be_bound_and_there_to_stay)
{
        CHECK_STR(claim_refusal(CLAIM, BY_NAME), "");
        CHECK_STR(claim_refusal("{'metadata':{'name':'data','namespace':'ns'},'status':"
                                "{'phase':'Pending'}}",
                                BY_NAME),
                  "error processing PVC ns/data: PVC is not bound");
        CHECK_STR(claim_refusal("{'metadata':{'name':'data','namespace':'ns','deletionTimestamp':"
                                "'2026-01-01T00:00:00Z'},'status':{'phase':'Bound'}}",
                                BY_NAME),
                  "error processing PVC ns/data: PVC is being deleted");
        /* the finalizer stays while a pod uses it: that pod goes on */
        CHECK_STR(claim_refusal("{'metadata':{'name':'data','namespace':'ns','deletionTimestamp':"
                                "'2026-01-01T00:00:00Z','finalizers':['kubernetes.io/"
                                "pvc-protection']},'spec':{'volumeName':'pv1'},'status':{'phase':"
                                "'Bound'}}",
                                BY_NAME),
                  "");
        CHECK_STR(claim_refusal("{'metadata':{'name':'data','namespace':'ns'},'spec':{},'status':"
                                "{'phase':'Bound'}}",
                                BY_NAME),
                  "error processing PVC ns/data: PVC has empty pvc.Spec.VolumeName");
        CHECK(startswith(claim_refusal("{'metadata':{'name':'data','namespace':'ns'},'spec':"
                                       "{'volumeName':'../../secrets/x'},'status':{'phase':"
                                       "'Bound'}}",
                                       BY_NAME),
                         "error processing PVC ns/data: volumeName: '../../secrets/x'"));
}

TEST(the_claim_of_an_ephemeral_volume_must_be_the_pods_own)
{
        static const char volume[] = "'ephemeral':{'volumeClaimTemplate':{'spec':{}}}";
        static const char claim[] =
                "{'metadata':{'name':'web-v','namespace':'ns','ownerReferences':[{'uid':'%s',"
                "'controller':true}]},'spec':{'volumeName':'pv1'},'status':{'phase':'Bound'}}";
        _cleanup_free_ char *mine = text_printf(claim, "u1"), *other = text_printf(claim, "u2");
        _cleanup_(pod_unrefp)
        struct pod *pod = pod_of("{'containers':[{'name':'c','image':'i'}],'volumes':[{'name':'v',"
                                 "'ephemeral':{}}]}",
                                 NULL);
        _cleanup_free_ char *name = claim_name_of(pod, &pod->volumes[0]);

        CHECK_STR(name, "web-v");
        CHECK_STR(claim_refusal(mine, volume), "");
        CHECK_STR(claim_refusal(other, volume),
                  "PVC ns/web-v was not created for pod ns/web (pod is not owner)");
        CHECK_STR(claim_refusal(CLAIM, volume),
                  "PVC ns/data was not created for pod ns/web (pod is not owner)");
}

TEST(mounts_want_a_file_system_and_devices_a_block_volume)
{
        static const char mounts[] =
                "{'containers':[{'name':'c','image':'i','volumeMounts':[{'name':'v','mountPath':"
                "'/v'}]}],'volumes':[{'name':'v'," BY_NAME "}]}";
        static const char devices[] =
                "{'containers':[{'name':'c','image':'i','volumeDevices':[{'name':'v','devicePath':"
                "'/v'}]}],'volumes':[{'name':'v'," BY_NAME "}]}";
        struct volume_spec block = { .is_block = true }, files = { 0 };
        _cleanup_(pod_unrefp)
        struct pod *mounting = pod_of(mounts, NULL);
        _cleanup_(pod_unrefp)
        struct pod *mapping = pod_of(devices, NULL);
        _cleanup_err_ struct err err = { 0 };

        CHECK_INT(volume_spec_check_mode(&files, mounting, &mounting->volumes[0], &err), 0);
        CHECK_INT(volume_spec_check_mode(&block, mapping, &mapping->volumes[0], &err), 0);
        CHECK_INT(volume_spec_check_mode(&block, mounting, &mounting->volumes[0], &err), -EINVAL);
        CHECK_STR(err_text(&err),
                  "volume v has volumeMode Block, but is specified in volumeMounts");
        CHECK_INT(volume_spec_check_mode(&files, mapping, &mapping->volumes[0], &err), -EINVAL);
        CHECK_STR(err_text(&err),
                  "volume v has volumeMode Filesystem, but is specified in volumeDevices");
}

TEST(a_volume_of_another_node_is_refused)
{
        _cleanup_(volume_spec_freep)
        struct volume_spec *s = spec_of(
                "'local':{'path':'/a'},'nodeAffinity':{'required':{'nodeSelectorTerms':"
                "[{'matchExpressions':[{'key':'kubernetes.io/hostname','operator':'In','values':"
                "['n1']}]}]}}",
                "");
        json_auto_t *here = json_of("{'kubernetes.io/hostname':'n1'}"),
                    *there = json_of("{'kubernetes.io/hostname':'n2'}");
        _cleanup_err_ struct err err = { 0 };

        CHECK_INT(volume_spec_check_node(s, here, "n1", &err), 0);
        CHECK_INT(volume_spec_check_node(s, there, "n2", &err), -EINVAL);
        CHECK_STR(err_text(&err), "no matching NodeSelectorTerms");
}

TEST(sources_in_the_pod_are_decoded_with_it)
{
        _cleanup_(pod_unrefp)
        struct pod *p = pod_of(
                "{'containers':[{'name':'c','image':'i'}],'volumes':[{'name':'n','nfs':{'server':"
                "'a','path':'/x','readOnly':true}},{'name':'c','csi':{'driver':'d.example',"
                "'nodePublishSecretRef':{'name':'s'}}}]}",
                NULL);

        CHECK_INT(p->volumes[0].source.kind, POD_VOLUME_NFS);
        CHECK_STR(p->volumes[0].spec->server, "a");
        CHECK_STR(p->volumes[0].spec->name, "n");
        CHECK(p->volumes[0].spec->read_only && !volume_spec_is_persistent(p->volumes[0].spec));
        CHECK_INT(p->volumes[1].source.kind, POD_VOLUME_CSI);
        CHECK_STR(p->volumes[1].spec->csi.driver, "d.example");
        CHECK_STR(p->volumes[1].spec->csi.publish_secret.name, "s");
        CHECK(!p->volumes[1].spec->csi.handle);
}
