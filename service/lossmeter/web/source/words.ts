// Chinese for the words of the service that are the same in every language of its answers: families, kinds of numbers, tasks,
// situations, facts and stages of an answer, and the fields that all losses have.
import { language } from "./strings";

const FAMILIES: Record<string, string> = {
  accuracy: "准确率", agreement: "一致程度", binary: "是非标签", boxes: "边界框", classification: "分类", clustering: "聚类", correlation: "相关与解释比例",
  curves: "曲线", decisions: "判定", deviances: "偏差", distributions: "分布", embeddings: "嵌入与度量学习", margins: "间隔", other: "其他",
  policy: "强化学习策略", preference: "偏好对齐", probabilities: "概率与校准", ranking: "排序", ranks: "名次与中位数", regression: "回归",
  segmentation: "分割", sequences: "序列与语言模型",
};
const KINDS: Record<string, string> = {
  "log-probabilities": "对数概率", values: "数值", embeddings: "嵌入", logits: "logits", "class indices": "类别编号", scores: "得分", weights: "权重",
  probabilities: "概率", log_probabilities: "对数概率", classes: "类别", boxes: "边界框", "±1": "±1", flags: "0 或 1", "positive numbers": "正数", mask: "掩码", features: "特征", groups: "分组",
  relevances: "相关度", distributions: "分布", counts: "计数", variances: "方差", scales: "尺度", "counts per class": "各类别样本数",
  "numbers of tokens": "词元数", lengths: "长度", tokens: "词元", priors: "先验", "log-variances": "对数方差", "padded class indices": "补齐的类别编号",
  divergences: "散度", grades: "等级", transcripts: "转写", times: "时间",
};
const TASKS: Record<string, string> = {
  regression: "回归：预测数值。", binary: "二分类：回答是或否。", multiclass: "多分类：从多个类别中选一个。", multilabel: "多标签分类：可选任意多个标签。",
  segmentation: "语义分割：给每个像素一个类别。", detection: "目标检测：找出物体及其边界框。", ranking: "排序：给候选项排出先后。",
  clustering: "聚类：把相似的归为一组。", text: "文本：逐词元地写作或转写。", embeddings: "嵌入：让相似的事物彼此靠近。", alignment: "对齐：让语言模型按人们的偏好回答。",
  reinforcement_learning: "强化学习：用奖励改进策略。", generation: "生成数据：自编码器、对抗网络、模拟器。", survival: "生存分析：事件多久之后发生，其中一些没有观察到。",
};
const SITUATIONS: Record<string, string> = {
  usual: "没有特别之处：该任务的首选。", imbalance: "类别不平衡：有些类别稀少，或简单负样本远多于其余。", long_tail: "长尾类别：类别很多，多数样本很少。",
  noisy_labels: "标签噪声：相当一部分标签或比较是错的。", soft_labels: "软标签：每个标签是类别上的一个分布。", missing_labels: "部分标注：没有标注的也可能为真。",
  ordered_classes: "有序类别：类别有先后，错误应顾及次序。", many_classes: "类别极多，或词表很大。", calibration: "概率校准：概率本身要准确，而不仅是次序。",
  maximum_margin: "只有判定重要，如支持向量机。", outliers: "离群值或重尾：有些标签偏离很远，不应主导训练。", large_errors: "大误差的代价超出其比例。",
  counts: "事件计数。", skewed_amounts: "正的、偏斜的金额，可能有许多零：理赔、价格、等待时间。", relative_errors: "相对误差：重要的是比值而非差值。",
  asymmetric_costs: "代价不对称：一种错误比另一种更贵。", intervals: "预测区间与不确定性：分位数、方差、分布。", small_regions: "小区域：前景像素很少。",
  overlap: "以重叠评判：IoU（Jaccard 指数）或 Dice 系数。", disjoint_boxes: "边界框可能不相交，如训练初期。", unlabelled: "自监督学习：同一事物的多个视图，没有标签。",
  labelled_pairs: "标注为相似或不相似的对。", triplets: "相对相似度：两者中哪一个更相似。", unseen_classes: "开放集识别：用最近的嵌入识别训练中没有的类别。",
  cross_modal: "同一空间中的两种模态：例如图像与文本。", small_batches: "小批次，负样本很少。", graded_lists: "带有相关性等级的候选列表。",
  implicit_feedback: "隐式或不成对的反馈：点击、购买、点赞。", preferences: "偏好：已知两者中哪一个更好。", no_reference: "没有参考模型的偏好学习。",
  distillation: "知识蒸馏：向另一个模型的输出学习。", off_policy: "离策略样本：来自较旧的策略或另一引擎。", sequence_rewards: "整个回答的奖励。",
  divergence_penalty: "KL 惩罚：分布应保持在参考附近。",
};
const FIELDS: Record<string, string> = {
  normalizer: "代替求均值时的分母：例如跨多次调用的全局计数。", empty: "没有任何值计入时的均值；`nan` 与 torch 一致。",
  precision: "运算精度；`auto` 在损失的任一浮点张量声明为 FP64 时用 float64，否则用 float32。", upstream: "上游梯度。",
  sample_weight: "非负：（N,），或与损失同形状。", mask: "计入者为真：（N,），或与损失同形状。", non_finite: "遇到 NaN 和无穷大时如何处理。",
  out_of_domain: "遇到超出定义域的值时如何处理。", advice: "对很可能并非本意之处给出提醒。",
  horizon: "`sequence_sum_norm` 的除数：例如回答的最大长度。默认为词元总数。",
};
const STAGES: Record<string, string> = { decode: "解码", compute: "计算", encode: "编码" };
const FACTS: Record<string, string> = { sum: "总和", normalizer: "归一化系数", count: "计数", precision: "数值精度", device: "设备" };
const CHINESE = { fact: FACTS, field: FIELDS, stage: STAGES, family: FAMILIES, kind: KINDS, task: TASKS, situation: SITUATIONS };

/** A word of the service in the language of the page; what it is said in English, or the word itself, where there is no other. */
export const worded = (of: keyof typeof CHINESE, word: string, english = word): string => (language === "zh" ? (CHINESE[of][word] ?? english) : english);

/** A word of the service in short: what stands before the first mark of its Chinese. */
export const brief = (of: keyof typeof CHINESE, word: string): string => worded(of, word).split(/[：，。]/)[0] ?? word;
