/*
 * Which fields objects of the API have: a table of types, and a walk. Names that end with a colon
 * and a type are objects of it, or lists of such; all others are values, or maps whose keys are
 * free. Source: k8s.io/api v0.36 (core/v1, apps/v1, batch/v1), apimachinery meta/v1.
 */
#include "kubelet/api-schema.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"

struct type {
        const char *name, *fields;
};

/* Sorted by name. */
static const struct type types[] = {
        /* clang-format off */
        { "AWSElasticBlockStoreVolumeSource",
          "volumeID fsType partition readOnly" },
        { "Affinity",
          "nodeAffinity:NodeAffinity podAffinity:PodAffinity "
          "podAntiAffinity:PodAntiAffinity" },
        { "AppArmorProfile",
          "type localhostProfile" },
        { "AzureDiskVolumeSource",
          "diskName diskURI cachingMode fsType readOnly kind" },
        { "AzureFileVolumeSource",
          "secretName shareName readOnly" },
        { "CSIVolumeSource",
          "driver readOnly fsType volumeAttributes "
          "nodePublishSecretRef:LocalObjectReference" },
        { "Capabilities",
          "add drop" },
        { "CephFSVolumeSource",
          "monitors path user secretFile secretRef:LocalObjectReference readOnly" },
        { "CinderVolumeSource",
          "volumeID fsType readOnly secretRef:LocalObjectReference" },
        { "ClusterTrustBundleProjection",
          "name signerName labelSelector:LabelSelector optional path" },
        { "ConfigMapEnvSource",
          "name optional" },
        { "ConfigMapKeySelector",
          "name key optional" },
        { "ConfigMapProjection",
          "name items:KeyToPath optional" },
        { "ConfigMapVolumeSource",
          "name items:KeyToPath defaultMode optional" },
        { "Container",
          "name image command args workingDir ports:ContainerPort "
          "envFrom:EnvFromSource env:EnvVar resources:ResourceRequirements "
          "resizePolicy:ContainerResizePolicy restartPolicy "
          "restartPolicyRules:ContainerRestartRule volumeMounts:VolumeMount "
          "volumeDevices:VolumeDevice livenessProbe:Probe readinessProbe:Probe "
          "startupProbe:Probe lifecycle:Lifecycle terminationMessagePath "
          "terminationMessagePolicy imagePullPolicy securityContext:SecurityContext "
          "stdin stdinOnce tty" },
        { "ContainerPort",
          "name hostPort containerPort protocol hostIP" },
        { "ContainerResizePolicy",
          "resourceName restartPolicy" },
        { "ContainerRestartRule",
          "action exitCodes:ContainerRestartRuleOnExitCodes" },
        { "ContainerRestartRuleOnExitCodes",
          "operator values" },
        { "CronJob",
          "apiVersion kind metadata:ObjectMeta spec:CronJobSpec status" },
        { "CronJobSpec",
          "schedule timeZone startingDeadlineSeconds concurrencyPolicy suspend "
          "jobTemplate:JobTemplateSpec successfulJobsHistoryLimit "
          "failedJobsHistoryLimit" },
        { "DaemonSet",
          "apiVersion kind metadata:ObjectMeta spec:DaemonSetSpec status" },
        { "DaemonSetSpec",
          "selector:LabelSelector template:PodTemplateSpec "
          "updateStrategy:DaemonSetUpdateStrategy minReadySeconds "
          "revisionHistoryLimit" },
        { "DaemonSetUpdateStrategy",
          "type rollingUpdate:RollingUpdateDaemonSet" },
        { "Deployment",
          "apiVersion kind metadata:ObjectMeta spec:DeploymentSpec status" },
        { "DeploymentSpec",
          "replicas selector:LabelSelector template:PodTemplateSpec "
          "strategy:DeploymentStrategy minReadySeconds revisionHistoryLimit paused "
          "progressDeadlineSeconds" },
        { "DeploymentStrategy",
          "type rollingUpdate:RollingUpdateDeployment" },
        { "DownwardAPIProjection",
          "items:DownwardAPIVolumeFile" },
        { "DownwardAPIVolumeFile",
          "path fieldRef:ObjectFieldSelector resourceFieldRef:ResourceFieldSelector "
          "mode" },
        { "DownwardAPIVolumeSource",
          "items:DownwardAPIVolumeFile defaultMode" },
        { "EmptyDirVolumeSource",
          "medium sizeLimit" },
        { "EnvFromSource",
          "prefix configMapRef:ConfigMapEnvSource secretRef:SecretEnvSource" },
        { "EnvVar",
          "name value valueFrom:EnvVarSource" },
        { "EnvVarSource",
          "fieldRef:ObjectFieldSelector resourceFieldRef:ResourceFieldSelector "
          "configMapKeyRef:ConfigMapKeySelector secretKeyRef:SecretKeySelector "
          "fileKeyRef:FileKeySelector" },
        { "EphemeralContainer",
          "name image command args workingDir ports:ContainerPort "
          "envFrom:EnvFromSource env:EnvVar resources:ResourceRequirements "
          "resizePolicy:ContainerResizePolicy restartPolicy "
          "restartPolicyRules:ContainerRestartRule volumeMounts:VolumeMount "
          "volumeDevices:VolumeDevice livenessProbe:Probe readinessProbe:Probe "
          "startupProbe:Probe lifecycle:Lifecycle terminationMessagePath "
          "terminationMessagePolicy imagePullPolicy securityContext:SecurityContext "
          "stdin stdinOnce tty targetContainerName" },
        { "EphemeralVolumeSource",
          "volumeClaimTemplate:PersistentVolumeClaimTemplate" },
        { "ExecAction",
          "command" },
        { "FCVolumeSource",
          "targetWWNs lun fsType readOnly wwids" },
        { "FileKeySelector",
          "volumeName path key optional" },
        { "FlexVolumeSource",
          "driver fsType secretRef:LocalObjectReference readOnly options" },
        { "FlockerVolumeSource",
          "datasetName datasetUUID" },
        { "GCEPersistentDiskVolumeSource",
          "pdName fsType partition readOnly" },
        { "GRPCAction",
          "port service" },
        { "GitRepoVolumeSource",
          "repository revision directory" },
        { "GlusterfsVolumeSource",
          "endpoints path readOnly" },
        { "HTTPGetAction",
          "path port host scheme httpHeaders:HTTPHeader" },
        { "HTTPHeader",
          "name value" },
        { "HostAlias",
          "ip hostnames" },
        { "HostPathVolumeSource",
          "path type" },
        { "ISCSIVolumeSource",
          "targetPortal iqn lun iscsiInterface fsType readOnly portals "
          "chapAuthDiscovery chapAuthSession secretRef:LocalObjectReference "
          "initiatorName" },
        { "ImageVolumeSource",
          "reference pullPolicy" },
        { "Job",
          "apiVersion kind metadata:ObjectMeta spec:JobSpec status" },
        { "JobSpec",
          "parallelism completions activeDeadlineSeconds "
          "podFailurePolicy:PodFailurePolicy successPolicy:SuccessPolicy "
          "backoffLimit backoffLimitPerIndex maxFailedIndexes "
          "selector:LabelSelector manualSelector template:PodTemplateSpec "
          "ttlSecondsAfterFinished completionMode suspend podReplacementPolicy "
          "managedBy" },
        { "JobTemplateSpec",
          "metadata:ObjectMeta spec:JobSpec" },
        { "KeyToPath",
          "key path mode" },
        { "LabelSelector",
          "matchLabels matchExpressions:LabelSelectorRequirement" },
        { "LabelSelectorRequirement",
          "key operator values" },
        { "Lifecycle",
          "postStart:LifecycleHandler preStop:LifecycleHandler stopSignal" },
        { "LifecycleHandler",
          "exec:ExecAction httpGet:HTTPGetAction tcpSocket:TCPSocketAction "
          "sleep:SleepAction" },
        { "LocalObjectReference",
          "name" },
        { "NFSVolumeSource",
          "server path readOnly" },
        { "NodeAffinity",
          "requiredDuringSchedulingIgnoredDuringExecution:NodeSelector "
          "preferredDuringSchedulingIgnoredDuringExecution:PreferredSchedulingTerm" },
        { "NodeSelector",
          "nodeSelectorTerms:NodeSelectorTerm" },
        { "NodeSelectorRequirement",
          "key operator values" },
        { "NodeSelectorTerm",
          "matchExpressions:NodeSelectorRequirement "
          "matchFields:NodeSelectorRequirement" },
        { "ObjectFieldSelector",
          "apiVersion fieldPath" },
        { "ObjectMeta",
          "name generateName namespace selfLink uid resourceVersion generation "
          "creationTimestamp deletionTimestamp deletionGracePeriodSeconds labels "
          "annotations ownerReferences:OwnerReference finalizers managedFields" },
        { "OwnerReference",
          "apiVersion kind name uid controller blockOwnerDeletion" },
        { "PersistentVolumeClaim",
          "metadata:ObjectMeta spec:PersistentVolumeClaimSpec status" },
        { "PersistentVolumeClaimSpec",
          "accessModes selector:LabelSelector resources:VolumeResourceRequirements "
          "volumeName storageClassName volumeMode "
          "dataSource:TypedLocalObjectReference dataSourceRef:TypedObjectReference "
          "volumeAttributesClassName" },
        { "PersistentVolumeClaimTemplate",
          "metadata:ObjectMeta spec:PersistentVolumeClaimSpec" },
        { "PersistentVolumeClaimVolumeSource",
          "claimName readOnly" },
        { "PhotonPersistentDiskVolumeSource",
          "pdID fsType" },
        { "Pod",
          "apiVersion kind metadata:ObjectMeta spec:PodSpec status" },
        { "PodAffinity",
          "requiredDuringSchedulingIgnoredDuringExecution:PodAffinityTerm "
          "preferredDuringSchedulingIgnoredDuringExecution:WeightedPodAffinityTerm" },
        { "PodAffinityTerm",
          "labelSelector:LabelSelector namespaces topologyKey "
          "namespaceSelector:LabelSelector matchLabelKeys mismatchLabelKeys" },
        { "PodAntiAffinity",
          "requiredDuringSchedulingIgnoredDuringExecution:PodAffinityTerm "
          "preferredDuringSchedulingIgnoredDuringExecution:WeightedPodAffinityTerm" },
        { "PodCertificateProjection",
          "signerName keyType maxExpirationSeconds credentialBundlePath keyPath "
          "certificateChainPath userAnnotations" },
        { "PodDNSConfig",
          "nameservers searches options:PodDNSConfigOption" },
        { "PodDNSConfigOption",
          "name value" },
        { "PodFailurePolicy",
          "rules:PodFailurePolicyRule" },
        { "PodFailurePolicyOnExitCodesRequirement",
          "containerName operator values" },
        { "PodFailurePolicyOnPodConditionsPattern",
          "type status" },
        { "PodFailurePolicyRule",
          "action onExitCodes:PodFailurePolicyOnExitCodesRequirement "
          "onPodConditions:PodFailurePolicyOnPodConditionsPattern" },
        { "PodOS",
          "name" },
        { "PodReadinessGate",
          "conditionType" },
        { "PodResourceClaim",
          "name resourceClaimName resourceClaimTemplateName" },
        { "PodSchedulingGate",
          "name" },
        { "PodSchedulingGroup",
          "podGroupName" },
        { "PodSecurityContext",
          "seLinuxOptions:SELinuxOptions "
          "windowsOptions:WindowsSecurityContextOptions runAsUser runAsGroup "
          "runAsNonRoot supplementalGroups supplementalGroupsPolicy fsGroup "
          "sysctls:Sysctl fsGroupChangePolicy seccompProfile:SeccompProfile "
          "appArmorProfile:AppArmorProfile seLinuxChangePolicy" },
        { "PodSpec",
          "volumes:Volume initContainers:Container containers:Container "
          "ephemeralContainers:EphemeralContainer restartPolicy "
          "terminationGracePeriodSeconds activeDeadlineSeconds dnsPolicy "
          "nodeSelector serviceAccountName serviceAccount "
          "automountServiceAccountToken nodeName hostNetwork hostPID hostIPC "
          "shareProcessNamespace securityContext:PodSecurityContext "
          "imagePullSecrets:LocalObjectReference hostname subdomain "
          "affinity:Affinity schedulerName tolerations:Toleration "
          "hostAliases:HostAlias priorityClassName priority dnsConfig:PodDNSConfig "
          "readinessGates:PodReadinessGate runtimeClassName enableServiceLinks "
          "preemptionPolicy overhead "
          "topologySpreadConstraints:TopologySpreadConstraint setHostnameAsFQDN "
          "os:PodOS hostUsers schedulingGates:PodSchedulingGate "
          "resourceClaims:PodResourceClaim resources:ResourceRequirements "
          "hostnameOverride schedulingGroup:PodSchedulingGroup" },
        { "PodTemplate",
          "apiVersion kind metadata:ObjectMeta template:PodTemplateSpec" },
        { "PodTemplateSpec",
          "metadata:ObjectMeta spec:PodSpec" },
        { "PortworxVolumeSource",
          "volumeID fsType readOnly" },
        { "PreferredSchedulingTerm",
          "weight preference:NodeSelectorTerm" },
        { "Probe",
          "exec:ExecAction httpGet:HTTPGetAction tcpSocket:TCPSocketAction "
          "grpc:GRPCAction initialDelaySeconds timeoutSeconds periodSeconds "
          "successThreshold failureThreshold terminationGracePeriodSeconds" },
        { "ProjectedVolumeSource",
          "sources:VolumeProjection defaultMode" },
        { "QuobyteVolumeSource",
          "registry volume readOnly user group tenant" },
        { "RBDVolumeSource",
          "monitors image fsType pool user keyring secretRef:LocalObjectReference "
          "readOnly" },
        { "ReplicaSet",
          "apiVersion kind metadata:ObjectMeta spec:ReplicaSetSpec status" },
        { "ReplicaSetSpec",
          "replicas minReadySeconds selector:LabelSelector template:PodTemplateSpec" },
        { "ReplicationController",
          "apiVersion kind metadata:ObjectMeta spec:ReplicationControllerSpec "
          "status" },
        { "ReplicationControllerSpec",
          "replicas minReadySeconds selector template:PodTemplateSpec" },
        { "ResourceClaim",
          "name request" },
        { "ResourceFieldSelector",
          "containerName resource divisor" },
        { "ResourceRequirements",
          "limits requests claims:ResourceClaim" },
        { "RollingUpdateDaemonSet",
          "maxUnavailable maxSurge" },
        { "RollingUpdateDeployment",
          "maxUnavailable maxSurge" },
        { "RollingUpdateStatefulSetStrategy",
          "partition maxUnavailable" },
        { "SELinuxOptions",
          "user role type level" },
        { "ScaleIOVolumeSource",
          "gateway system secretRef:LocalObjectReference sslEnabled "
          "protectionDomain storagePool storageMode volumeName fsType readOnly" },
        { "SeccompProfile",
          "type localhostProfile" },
        { "SecretEnvSource",
          "name optional" },
        { "SecretKeySelector",
          "name key optional" },
        { "SecretProjection",
          "name items:KeyToPath optional" },
        { "SecretVolumeSource",
          "secretName items:KeyToPath defaultMode optional" },
        { "SecurityContext",
          "capabilities:Capabilities privileged seLinuxOptions:SELinuxOptions "
          "windowsOptions:WindowsSecurityContextOptions runAsUser runAsGroup "
          "runAsNonRoot readOnlyRootFilesystem allowPrivilegeEscalation procMount "
          "seccompProfile:SeccompProfile appArmorProfile:AppArmorProfile" },
        { "ServiceAccountTokenProjection",
          "audience expirationSeconds path" },
        { "SleepAction",
          "seconds" },
        { "StatefulSet",
          "apiVersion kind metadata:ObjectMeta spec:StatefulSetSpec status" },
        { "StatefulSetOrdinals",
          "start" },
        { "StatefulSetPersistentVolumeClaimRetentionPolicy",
          "whenDeleted whenScaled" },
        { "StatefulSetSpec",
          "replicas selector:LabelSelector template:PodTemplateSpec "
          "volumeClaimTemplates:PersistentVolumeClaim serviceName "
          "podManagementPolicy updateStrategy:StatefulSetUpdateStrategy "
          "revisionHistoryLimit minReadySeconds "
          "persistentVolumeClaimRetentionPolicy:StatefulSetPersistentVolumeClaimRetentionPolicy "
          "ordinals:StatefulSetOrdinals" },
        { "StatefulSetUpdateStrategy",
          "type rollingUpdate:RollingUpdateStatefulSetStrategy" },
        { "StorageOSVolumeSource",
          "volumeName volumeNamespace fsType readOnly "
          "secretRef:LocalObjectReference" },
        { "SuccessPolicy",
          "rules:SuccessPolicyRule" },
        { "SuccessPolicyRule",
          "succeededIndexes succeededCount" },
        { "Sysctl",
          "name value" },
        { "TCPSocketAction",
          "port host" },
        { "Toleration",
          "key operator value effect tolerationSeconds" },
        { "TopologySpreadConstraint",
          "maxSkew topologyKey whenUnsatisfiable labelSelector:LabelSelector "
          "minDomains nodeAffinityPolicy nodeTaintsPolicy matchLabelKeys" },
        { "TypedLocalObjectReference",
          "apiGroup kind name" },
        { "TypedObjectReference",
          "apiGroup kind name namespace" },
        { "Volume",
          "name hostPath:HostPathVolumeSource emptyDir:EmptyDirVolumeSource "
          "gcePersistentDisk:GCEPersistentDiskVolumeSource "
          "awsElasticBlockStore:AWSElasticBlockStoreVolumeSource "
          "gitRepo:GitRepoVolumeSource secret:SecretVolumeSource "
          "nfs:NFSVolumeSource iscsi:ISCSIVolumeSource "
          "glusterfs:GlusterfsVolumeSource "
          "persistentVolumeClaim:PersistentVolumeClaimVolumeSource "
          "rbd:RBDVolumeSource flexVolume:FlexVolumeSource "
          "cinder:CinderVolumeSource cephfs:CephFSVolumeSource "
          "flocker:FlockerVolumeSource downwardAPI:DownwardAPIVolumeSource "
          "fc:FCVolumeSource azureFile:AzureFileVolumeSource "
          "configMap:ConfigMapVolumeSource "
          "vsphereVolume:VsphereVirtualDiskVolumeSource quobyte:QuobyteVolumeSource "
          "azureDisk:AzureDiskVolumeSource "
          "photonPersistentDisk:PhotonPersistentDiskVolumeSource "
          "projected:ProjectedVolumeSource portworxVolume:PortworxVolumeSource "
          "scaleIO:ScaleIOVolumeSource storageos:StorageOSVolumeSource "
          "csi:CSIVolumeSource ephemeral:EphemeralVolumeSource "
          "image:ImageVolumeSource" },
        { "VolumeDevice",
          "name devicePath" },
        { "VolumeMount",
          "name readOnly recursiveReadOnly mountPath subPath mountPropagation "
          "subPathExpr" },
        { "VolumeProjection",
          "secret:SecretProjection downwardAPI:DownwardAPIProjection "
          "configMap:ConfigMapProjection "
          "serviceAccountToken:ServiceAccountTokenProjection "
          "clusterTrustBundle:ClusterTrustBundleProjection "
          "podCertificate:PodCertificateProjection" },
        { "VolumeResourceRequirements",
          "limits requests" },
        { "VsphereVirtualDiskVolumeSource",
          "volumePath fsType storagePolicyName storagePolicyID" },
        { "WeightedPodAffinityTerm",
          "weight podAffinityTerm:PodAffinityTerm" },
        { "WindowsSecurityContextOptions",
          "gmsaCredentialSpecName gmsaCredentialSpec runAsUserName hostProcess" },
}; /* clang-format on */

static int compare_types(const void *a, const void *b)
{
        return strcmp(((const struct type *)a)->name, ((const struct type *)b)->name);
}

static const struct type *find_type(const char *name)
{
        const struct type key = { .name = name };

        return bsearch(&key, types, ARRAY_SIZE(types), sizeof *types, compare_types);
}

enum field_kind { FIELD_UNKNOWN, FIELD_VALUE, FIELD_OBJECT };

/* Looks @name up among a type's fields; @ret_type: of FIELD_OBJECT. */
static enum field_kind find_field(const struct type *t, const char *name,
                                  const struct type **ret_type)
{
        size_t n = strlen(name);

        for (const char *p = t->fields; *p; p += strspn(p, " ")) {
                size_t word = strcspn(p, " "), len = strcspn(p, ": ");
                char type[64];

                if (len == n && strncmp(p, name, n) == 0) {
                        if (word == len)
                                return FIELD_VALUE;
                        snprintf(type, sizeof type, "%.*s", (int)(word - len - 1), p + len + 1);
                        *ret_type = find_type(type);
                        return *ret_type ? FIELD_OBJECT : FIELD_VALUE;
                }
                p += word;
        }
        return FIELD_UNKNOWN;
}

/* What the API knows and a node like this one passes over. */
static const struct {
        const char *field, *why;
} ignored[] = {
        { "seLinuxOptions", "SELinux is not used on this node" },
        { "seLinuxChangePolicy", "SELinux is not used on this node" },
        { "windowsOptions", "it is about nodes of Windows" },
};

struct walk {
        api_schema_fn fn;
        void *userdata;
};

static int walk_value(const struct walk *w, const char *path, const struct type *t,
                      const json_t *value);

static int tell(const struct walk *w, const char *path, const char *field)
{
        for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
                if (streq(ignored[i].field, field))
                        return w->fn(path, API_FIELD_IGNORED, ignored[i].why, w->userdata);
        return 0;
}

static int walk_field(const struct walk *w, const char *path, const struct type *t, const char *key,
                      const json_t *value)
{
        _cleanup_free_ char *below = text_printf("%s%s%s", path, *path ? "." : "", key);
        const struct type *type = NULL;
        enum field_kind kind = find_field(t, key, &type);
        int r;

        if (!below)
                return -ENOMEM;
        if (kind == FIELD_UNKNOWN)
                return w->fn(below, API_FIELD_UNKNOWN, NULL, w->userdata);
        r = tell(w, below, key);
        return r == 0 && kind == FIELD_OBJECT ? walk_value(w, below, type, value) : r;
}

static int walk_object(const struct walk *w, const char *path, const struct type *t,
                       const json_t *object)
{
        const char *key;
        json_t *value;
        int r = 0;

        json_object_foreach ((json_t *)object, key, value)
                if (r == 0)
                        r = walk_field(w, path, t, key, value);
        return r;
}

/* What is neither object nor list where one is expected is the decoder's to refuse. */
static int walk_value(const struct walk *w, const char *path, const struct type *t,
                      const json_t *value)
{
        const json_t *e;
        size_t i;
        int r = 0;

        if (json_is_object(value))
                return walk_object(w, path, t, value);
        json_array_foreach ((json_t *)value, i, e) {
                _cleanup_free_ char *at = text_printf("%s[%zu]", path, i);

                if (!at)
                        return -ENOMEM;
                if (r == 0 && json_is_object(e))
                        r = walk_object(w, at, t, e);
        }
        return r;
}

int api_schema_walk(const json_t *object, const char *kind, api_schema_fn fn, void *userdata)
{
        const struct type *t = find_type(kind);

        return t ? walk_object(&(struct walk){ fn, userdata }, "", t, object) : -ENOENT;
}
