/** Short names for the generated types of the resources, the one place that knows how the generator names them. */
import type { components } from "./schema.gen";

export type Schemas = components["schemas"];

export type Caller = Schemas["Caller"];
export type AugmentationPreview = Schemas["PreviewAugmentationResponse"];
export type Changes = Schemas["CompareVersionsResponse"];
export type Dataset = Schemas["Dataset"];
export type DatasetVersion = Schemas["DatasetVersion"];
export type Distribution = Schemas["Distribution"];
export type Draft = Schemas["Draft"];
export type Edit = Schemas["Edit"];
export type Example = Schemas["Example"];
export type ExampleChange = Schemas["ExampleChange"];
export type Export = Schemas["Export"];
export type ExportVersionMetadata = Schemas["ExportVersionMetadata"];
export type ImagePolicy = Schemas["ImagePolicy"];
export type ImportMode = Schemas["ImportMode"];
export type ImportStage = Schemas["ImportVersionMetadata.Stage"];
export type ImportVersionMetadata = Schemas["ImportVersionMetadata"];
export type Message = Schemas["Message"];
export type OnError = Schemas["OnError"];
export type Operation = Schemas["Operation"];
export type Problem = Schemas["Problem"];
export type RuleSummary = Schemas["RuleSummary"];
export type Statistics = Schemas["Statistics"];
export type Thumbnail = Schemas["Thumbnail"];
export type ValidationReport = Schemas["ValidationReport"];

export type Quota = Schemas["Quota"];
export type QuotaAlert = Schemas["QuotaAlert"];
export type Upload = Schemas["Upload"];

export type Accelerator = Schemas["Accelerator"];
export type Augmentation = Schemas["Augmentation"];
export type Artifact = Schemas["Artifact"];
export type ArtifactFile = Schemas["ArtifactFile"];
export type BaseModel = Schemas["BaseModel"];
export type Checkpoint = Schemas["Checkpoint"];
export type Estimate = Schemas["Estimate"];
export type Fit = Schemas["Estimate.Fit"];
export type Format = Schemas["Format"];
export type Generation = Schemas["Generation"];
export type GenerationLink = Schemas["Generation.Link"];
export type JobEvent = Schemas["Event"];
export type JobProblem = Schemas["ValidateTrainingJobResponse.JobProblem"];
export type JobState = Schemas["TrainingJob.State"];
export type LogLine = Schemas["LogLine"];
export type MetricPoint = Schemas["MetricPoint"];
export type ModelFamily = Schemas["ModelFamily"];
export type StorageUsage = Schemas["GetUsageResponse"];
export type OwnerKind = Schemas["OwnerKind"];
export type Model = Schemas["Model"];
export type Sample = Schemas["Sample"];
export type TrainingJob = Schemas["TrainingJob"];
export type TrainingJobSpec = Schemas["TrainingJobSpec"];
export type Validation = Schemas["ValidateTrainingJobResponse"];
export type WatchUpdate = Schemas["WatchTrainingJobResponse"];
