package cases

// Chinese is the state's name on the page and in documents.
func (s State) Chinese() string {
	switch s {
	case None:
		return "未立案"
	case Checking:
		return "待核查"
	case Suspected:
		return "疑似长期失效"
	case Notified:
		return "已通知"
	case Overdue:
		return "逾期未整改"
	case Confirmed:
		return "已认定"
	case Reviewed:
		return "已法制审核"
	case Decommissioned:
		return "已移出（长期失效）"
	case Rectified:
		return "已整改"
	case Dismissed:
		return "不予认定"
	case Restored:
		return "已恢复"
	case Revoked:
		return "已撤销"
	}
	return string(s)
}

// Chinese is the action's name on the page and in documents.
func (a Action) Chinese() string {
	switch a {
	case Notify:
		return "通知"
	case Serve:
		return "送达"
	case Statement:
		return "陈述申辩"
	case Inspect:
		return "现场检验"
	case Extend:
		return "延长期限"
	case Dismiss:
		return "不予认定"
	case Confirm:
		return "认定"
	case Review:
		return "法制审核"
	case Decommission:
		return "移出公共充电设施统计与公共服务平台（长期失效）"
	case Restore:
		return "恢复"
	case Revoke:
		return "撤销决定"
	case Correct:
		return "更正"
	case OpenCheck:
		return "发起核查"
	case Suspect:
		return "列为疑似"
	case Expire:
		return "期限届满"
	case Prove:
		return "整改得到证明"
	case Relapse:
		return "再次失效"
	case Escalate:
		return "报省级清单"
	case Lapse:
		return "按从轻的新政策不再成立"
	case Follow:
		return "随设备转移"
	}
	return string(a)
}

// English says what is missing, as an error tells it.
func (n Need) English() string {
	en, _ := n.words()
	return en
}

// Chinese says what is missing, as the page tells it.
func (n Need) Chinese() string {
	_, zh := n.words()
	return zh
}

func (n Need) words() (en, zh string) {
	switch n {
	case NeedText:
		return "give the text", "请填写内容"
	case NeedDossier:
		return "the dossier must be frozen first", "须先固定卷宗"
	case NeedDocument:
		return "policy.document is empty: on trial, not a basis for any decision", "未填写文号：试行，不作为处理依据"
	case NeedUnserved:
		return "already served", "已经送达"
	case NeedService:
		return "this is not a valid service: its way and evidence, and a day not before the notice's and not in the future", "送达不符合要求：方式、凭证，日期不得早于通知、不得晚于今天"
	case NeedServed:
		return "the notice must be served first", "须先送达通知"
	case NeedInPeriod:
		return "the period has passed", "期限已过"
	case NeedPeriodOver:
		return "the period after service still runs", "送达后的期限尚未届满"
	case NeedFirstExtension:
		return "already extended once", "期限已延长过一次"
	case NeedInspection:
		return "silence is the only ground: an on-site check (photo, time, two officers) is needed first", "仅有失联一项依据：须先现场检验（照片、时间、两名人员）"
	case NeedVisitDay:
		return "an on-site check is not before the day of the suspicion and not in the future", "现场检验日期不得早于列为疑似之日、不得晚于当前时间"
	case NeedAnswers:
		return "answer each argument of the statement", "须逐条回应陈述申辩意见"
	case NeedAnotherPerson:
		return "the reviewer must be another person than the one who confirmed", "审核人不得为认定人"
	case NeedProof:
		return "the repair is not proved by every ground", "整改尚未按各项依据得到证明"
	case NeedCheckOver:
		return "the test charge is neither failed nor overdue", "试充电未失败且未逾期"
	case NeedWaiting:
		return "not waiting for long enough", "等待未满规定工作日"
	case NeedMilder:
		return "a ground still holds by the policy in force", "按现行政策仍有依据成立"
	}
	return "", ""
}
